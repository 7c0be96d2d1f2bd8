import time

from relative_stability.ending import begin, end

started = time.time()


onstart:
    begin()


onsuccess:
    end(grid, started, log)


onerror:
    end(grid, started, log)
