import time

from relative_stability.ending import end

started = time.time()


onsuccess:
    end(grid, started, log)


onerror:
    end(grid, started, log)
