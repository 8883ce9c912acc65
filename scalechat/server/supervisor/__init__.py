"""Several worker processes behind one port: started, restarted, drained and asked as one server.

The supervisor serves no client. It binds the port once for each worker (SO_REUSEPORT, so that the kernel spreads the
connections), starts the workers, restarts those that end, and answers for all of them together. Without another bus it
also runs a private ``redis-server`` between them.

    command     `supervise`: nurseries, order of start and end
    crew        all workers: started, started again, one drain for all
    answers     all workers asked, and their answers put together
    child       one worker's process: start, orders, end
    restarts    when to start one again, and when to give up: the decision alone
    worker      what runs in the worker's process
    lines       how the two talk: lines over pipes
    redis       the private redis-server
    questions   what processes behind one port ask each other, over Unix sockets
    totals      many processes' metrics as one's: the arithmetic alone
    everywhere  the site that HTTP handlers of a worker ask: all workers

Not here: anything a single process needs.
"""
