"""Reads messages compressed by wsproto and compresses the same ones: see TestDeflateZlib."""
import base64, json, sys, zlib

cases = json.load(sys.stdin)
for case in cases:
    bits, takeover = case["Bits"], case["Takeover"]
    plain = [base64.b64decode(m or "") for m in case["Plain"]]
    reader = writer = None
    case["Theirs"], case["Failed"] = [], ""
    for i, m in enumerate(plain):
        if reader is None or not takeover:
            reader = zlib.decompressobj(-bits)
            writer = zlib.compressobj(6, zlib.DEFLATED, -max(bits, 9))
        try:
            got = reader.decompress(base64.b64decode(case["Ours"][i]) + b"\0\0\xff\xff")
            if got != m:
                case["Failed"] = "message %d differs" % i
        except zlib.error as e:
            case["Failed"] = "message %d: %s" % (i, e)
            break
        z = writer.compress(m) + writer.flush(zlib.Z_SYNC_FLUSH)
        if not m:
            z = b"\0\0\0\xff\xff"  # zlib flushes nothing twice
        case["Theirs"].append(base64.b64encode(z[:-4]).decode())
json.dump(cases, sys.stdout)
