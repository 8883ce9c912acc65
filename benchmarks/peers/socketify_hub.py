"""A room hub on uWebSockets (C++) through socketify: its own publish/subscribe, no compression."""

import sys

from socketify import App, AppListenOptions, CompressOptions, OpCode

app = App()


def upgrade(response, request, context):
    key = request.get_header("sec-websocket-key")
    protocol = request.get_header("sec-websocket-protocol")
    extensions = request.get_header("sec-websocket-extensions")
    response.upgrade(key, protocol, extensions, context, {"room": request.get_query("room")})


def opened(ws):
    ws.subscribe(ws.get_user_data()["room"])


def message(ws, text, _opcode):
    room = ws.get_user_data()["room"]
    ws.publish(room, text, OpCode.TEXT)


app.ws(
    "/ws",
    {
        "compression": CompressOptions.DISABLED,
        "max_payload_length": 64 * 1024,
        "idle_timeout": 0,
        "max_backpressure": 64 * 1024 * 1024,
        "upgrade": upgrade,
        "open": opened,
        "message": message,
    },
)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"), lambda _config: None)
app.run()
