"""Scale-Chat beside other broadcast servers, on this machine, in one sitting.

``python -m benchmarks.compare`` measures and writes tables; ``python -m benchmarks.profile`` tells where the
microseconds go. Every server is a process of its own (``peers/`` and Scale-Chat as it is shipped), measured from
outside by a program in C (``meter.c``) that shares no code with any of them. Imports nothing of ``scalechat``.

    servers    what can be measured, how it is started, what it needs
    scenarios  what is asked of it, and which figure answers
    process    one server or meter process: pinned, bounded in time, gone afterwards
    meter      ``meter.c``, built and run
    machine    what all of this ran on
    results    the record: JSON that can be read again
    bars       what Scale-Chat has to reach, judged from the record
    tables, plot, publish   the record as Markdown, as a picture, in the docs
"""
