"""A line-command server and client with the wire behaviour of socket-oneline.

oneline.py server            prints its port, serves one client at a time until "shutdown"
oneline.py client PORT CMD   connects, proves itself with ping/pong, sends each CMD, prints
                             each answer; the answers wanted follow CMD after a colon:
                             "cmd01:1"; the last CMD is disconnect or shutdown
"""
import socket
import sys


class Server:
    def __init__(self):
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.running = True

    def run(self):
        print(self.listener.getsockname()[1], flush=True)
        while self.running:
            self.client, _ = self.listener.accept()
            self.client.settimeout(20)
            self.serve()
            self.client.close()

    def serve(self):
        packet, invalid = "", False
        while True:
            byte = self.client.recv(1)
            if not byte:
                return
            if byte == b"\n":
                if not self.command(packet, invalid):
                    return
                packet, invalid = "", False
                continue
            try:  # each byte alone, as the original
                packet += byte.decode("utf-8")
            except UnicodeDecodeError:
                invalid = True

    def command(self, packet, invalid):
        if packet == "ping":
            self.send("pong")
        elif packet == "disconnect":
            return False
        elif packet == "shutdown":
            self.running = False
            return False
        else:
            self.callback(packet, invalid)
        return True

    def callback(self, packet, invalid):
        if invalid:
            self.send("invalid " + packet)
        elif packet == "cmd01":
            self.send("ack")
        elif packet == "none":
            pass
        elif packet == "many":
            self.send("1")
            self.send("")
            self.send("3")
        else:
            self.send("nak - unknown cmd")

    def send(self, packet):
        self.client.sendall((packet + "\n").encode("utf-8"))


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.send("ping")
        if self.recv() != "pong":
            sys.exit("no pong")

    def send(self, command):
        self.sock.sendall((command + "\n").encode("utf-8"))

    def recv(self):
        packet = b""
        while True:
            byte = self.sock.recv(1)
            if not byte:
                sys.exit("the server ended the connection")
            if byte == b"\n":
                return packet.decode("utf-8").strip()
            packet += byte


if sys.argv[1] == "server":
    Server().run()
else:
    client = Client(int(sys.argv[2]))
    for arg in sys.argv[3:]:
        command, _, answers = arg.partition(":")
        client.send(command)
        for _ in range(int(answers or 0)):
            print(client.recv(), flush=True)
    if client.sock.recv(1):
        sys.exit("the server goes on after the last word")
