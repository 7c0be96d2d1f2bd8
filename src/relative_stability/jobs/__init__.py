"""What a rule of the workflow runs, and what a job needs and leaves. The science is in the rooms below."""
