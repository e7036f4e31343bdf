"""The control socket: how `hostguardctl` asks the daemon, and who may ask for what.

One connection carries one request, as one line of JSON:

    {"v":1,"call":"drift","args":{"severity":"high"}}

and is answered by lines of JSON: any number of `{"progress":{…}}` and `{"item":{…}}`, then exactly
one `{"result":{…}}` or `{"error":{"code":<Exit>,"message":"…"}}`.

* `calls`   the table: name -> who may, which arguments with which limits (pure)
* `caller`  who is at the other end, as the kernel tells it, and how to write that down
* `job`     one permitted request on its way through the daemon's loop
* `server`  the socket and its thread; every limit against bad clients lives there
* `client`  the other end

The rule of the place: the loop that owns the store is never made to wait by a client, however slow,
huge, silent or hostile. Nothing is imported here, so that the client starts without the server.
"""
