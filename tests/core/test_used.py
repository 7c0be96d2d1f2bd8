import re

from relative_stability.core.logs import job_log
from relative_stability.core.used import Used, accounts, all_in, efficiency, found_in


def test_a_job_says_at_its_end_what_it_used(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    log = tmp_path / "job.log"
    with job_log(str(log), "train", asked={"gpu": 1, "runtime": 20, "mem_mb": 4000}):
        pass
    assert re.search(r"INFO took 0 s of 20 min, 1 GPU, \d+ of 4000 MB, SLURM job 17$", log.read_text().strip())
    (used,) = found_in([log])
    assert (used.minutes, used.gpus, used.asked_mb, used.job) == (20, 1, 4000, "17") and used.used_mb > 10


def test_a_job_for_which_nothing_was_asked_is_timed_and_is_none_of_a_cluster(tmp_path, monkeypatch):
    """One that runs where snakemake does, or within another job, which the cluster counts already."""
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    log = tmp_path / "job.log"
    with job_log(str(log), "figure"):
        pass
    assert re.search(r"INFO took 0 s, \d+ MB$", log.read_text().strip())
    (used,) = all_in([log])
    assert (used.seconds, used.minutes, used.gpus, used.asked_mb, used.job) == (0, 0, 0, 0, "") and used.used_mb > 10
    assert found_in([log]) == []


def test_the_sum_says_which_part_of_the_hours_was_used():
    used = [Used(1800, 60, 1, 500, 1000, "1"), Used(900, 60, 1, 900, 1000, "2"), Used(60, 30, 0, 100, 500, "3")]
    gpu, cpu = efficiency(used).splitlines()[2:]
    assert re.split(r"  +", gpu) == ["GPU hours", "2", "2.00", "0.75", "38%", "90%"]
    assert re.split(r"  +", cpu) == ["hours without a GPU", "1", "0.50", "0.02", "3%", "20%"]


def test_without_a_cluster_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with job_log(str(tmp_path / "job.log"), "train", asked={"gpu": 0, "runtime": 20, "mem_mb": 4000}):
        pass
    assert found_in([tmp_path / "job.log"]) == [] and efficiency([]) == ""


def test_accounts_are_added_up(tmp_path, monkeypatch):
    sacct = tmp_path / "sacct"
    sacct.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> "$0.asked"; echo "COMPLETED|1800|60"; echo "TIMEOUT|3600|60"\n')
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert accounts("run", 0.0) == ["sacct: 2 jobs, 1 of them completed; 2.00 hours asked, 1.50 used"]
    assert "--starttime 1970-01-01T" in (tmp_path / "sacct.asked").read_text()  # and not midnight
    sacct.write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2; exit 1\n")
    assert accounts("run", 0.0) == [] and accounts("", 0.0) == []
