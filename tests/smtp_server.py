"""An SMTP server (RFC 5321) for tests, by aiosmtpd: with TLS and AUTH, writing what it accepts into a folder.

Usage: smtp_server.py SETTINGS, a JSON object: `folder`, `port` (0 for a free one), `tls` ("none", "starttls" or
"implicit"), `cert` and `key` (PEM files), `user` and `password`, `token` (what XOAUTH2 takes), `hide` (extensions that are not offered).

It prints `ready PORT`, then does what it is told by lines on its standard input, and ends when that closes:
`close` closes all connections, as a server does that tires of idle clients.

Recipients choose what happens: `refused@` 550, `later@` 450, `full@` 552 after the data, `hang@` no answer ever.
"""

import asyncio
import base64
import json
import logging
import os
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

# Clients that give up are what the tests are about.
logging.disable()
warnings.simplefilter("ignore")
settings = json.loads(sys.argv[1])
connections = set()


class Server(SMTP):
    def connection_made(self, transport):
        connections.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error):
        connections.discard(self.transport)
        super().connection_lost(error)


class Handler:
    def __init__(self):
        # Messages of the server before this one stay.
        self.count = sum(name.endswith(".json") for name in os.listdir(settings["folder"]))

    async def auth_XOAUTH2(self, server, args):
        user, token = base64.b64decode(args[1]).decode().removesuffix("\1\1").split("\1auth=Bearer ")
        good = user == "user=" + settings["user"] and token == settings.get("token")
        if not good:
            # As Google and Microsoft explain a refusal; the client answers nothing.
            await server.challenge_auth('{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}')
        return AuthResult(success=good, handled=False, auth_data=settings["user"] if good else None)

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        hidden = tuple(settings.get("hide", []))
        return [line for line in responses if not line[4:].startswith(hidden)] if hidden else responses

    async def handle_RCPT(self, server, session, envelope, address, options):
        kind = address.split("@")[0]
        if kind == "refused":
            return "550 5.1.1 no such user"
        if kind == "later":
            return "450 4.2.1 greylisted"
        if kind == "hang":
            await asyncio.Event().wait()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if any(address.startswith("full@") for address in envelope.rcpt_tos):
            return "552 5.2.2 mailbox full"
        self.count += 1
        name = f"{settings['folder']}/{self.count:04}"
        about = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "hello": session.host_name,
            "tls": bool(session.ssl) or settings["tls"] == "implicit",
            "login": session.authenticated and session.auth_data,
            "peer": session.peer[1],
        }
        with open(f"{name}.eml", "wb") as file:
            file.write(envelope.original_content)
        # Last: who sees it finds the message too.
        with open(f"{name}.part", "w") as file:
            json.dump(about, file)
        os.rename(f"{name}.part", f"{name}.json")
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    if not isinstance(data, LoginPassword):
        return AuthResult(success=False, handled=False)
    good = data.login.decode() == settings["user"] and data.password.decode() == settings["password"]
    # Not handled: the server says 535 itself.
    return AuthResult(success=good, handled=False, auth_data=data.login.decode() if good else None)


async def main():
    handler = Handler()
    context = None
    if settings["tls"] != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings["cert"], settings["key"])
    starttls = settings["tls"] == "starttls"
    user = settings.get("user")

    def make():
        return Server(
            handler,
            hostname="localhost",
            enable_SMTPUTF8=True,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_required=bool(user),
            auth_require_tls=starttls,
            authenticator=login if user else None,
            loop=asyncio.get_running_loop(),
        )

    wrapped = context if settings["tls"] == "implicit" else None
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", settings["port"], ssl=wrapped)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "close":
            for transport in list(connections):
                transport.close()
            print("done", flush=True)


asyncio.run(main())
