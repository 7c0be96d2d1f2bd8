import time

from relative_stability.jobs.hooks import begin, end

started = time.time()


onstart:
    begin()


onsuccess:
    end(grid, started, log)


onerror:
    end(grid, started, log)
