"""What `hostguardctl` shows: data in, text out. Nothing here asks the daemon or writes to a terminal.

The rule: written for a tired person at night. The worst first, what and where before why, times as
"3 min ago" with the clock time beside it, every id ready to be typed, nothing cut off that might
matter. The daemon has escaped the host's strings already; they are cleaned once more here, because
a terminal is the last place where a file name could still act.

* `paper`     width, colour, wrapping, times and sizes
* `findings`  drift, explain, baseline, check, the difference of two generations
* `pages`     status, history, verify, doctor, alerts, the configuration
"""
