"""The console of the local Dataflow: its templates, launch forms, jobs and results as web pages.

The console is a separate program, ``python -m launcher.console``, which the local Dataflow starts
when somebody opens its page. Its server side is a client of the Dataflow, Cloud Storage, Pub/Sub
and emulator APIs over loopback, with no other access to the local Dataflow; no module imports it.
::

    app            the routes, and how answers and errors become pages
    guard          who may talk to it: pages of its own origin
    *_pages        what each page shows
    launch_form    the form that a template's metadata describes
    launches       what a filled form launches, and the service's verdict on it
    job_view       a job in figures: rows, speed, progress, charts
    graph          the steps of a pipeline, laid out
    results        predictions, pictures and dead letters of a job
    apis           the calls

No page needs anything from another host. What jobs, objects and metadata hold is shown as text.
"""
