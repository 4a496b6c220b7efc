"""A message socket server and client with the wire behaviour of gruv_socks.

gruv.py server N              prints its port, echoes one message to each of N clients
gruv.py client PORT SIZE...   sends a message of each size and wants it back
"""
import socket
import struct
import sys


class Socket:
    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(20)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                sys.exit("cut")
            data += more
        return data

    def read(self):
        (size,) = struct.unpack("!I", self.exactly(4))
        return self.exactly(size)

    def write(self, data):
        self.sock.sendall(struct.pack("!I", len(data)) + data)

    def disconnect(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


if sys.argv[1] == "server":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    for _ in range(int(sys.argv[2])):
        client = Socket(listener.accept()[0])
        client.write(client.read())
        client.disconnect()
else:
    server = Socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))))
    for size in map(int, sys.argv[3:]):
        message = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        server.write(message)
        if server.read() != message:
            sys.exit("another message of %d bytes came back" % size)
        print(size, flush=True)
    server.disconnect()
