# fogbank's runtime for Python functions: it loads the handler and serves the Runtime API.
# It imports as little as it can, since that is the better part of a cold start.
import json
import os
import site
import sys
import time

import _socket

HOST, _, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
BASE = "/2018-06-01/runtime/"


class Client:
    """Client is one kept connection to the Runtime API."""

    def __init__(self):
        self.sock = None

    def call(self, method, path, body=b"", headers=""):
        """call returns the status, the headers with names in lower case, and the body."""
        if self.sock is None:
            self.sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            self.sock.connect((HOST, int(PORT)))
            self.sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        head = "%s %s%s HTTP/1.1\r\nHost: %s:%s\r\nContent-Length: %d\r\n%s\r\n" % (
            method, BASE, path, HOST, PORT, len(body), headers)
        self.sock.sendall(head.encode("latin-1", "replace") + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.more()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        parts, left = [body], int(fields.get("content-length", "0")) - len(body)
        while left > 0:
            parts.append(self.more())
            left -= len(parts[-1])
        return int(first.split()[1]), fields, b"".join(parts)

    def more(self):
        """more returns what has come; where there is no Runtime API any more, there is nothing left to do."""
        part = self.sock.recv(1 << 20)
        if not part:
            os._exit(0)
        return part


class Parts:
    """Parts holds named values; those not given are None."""

    def __init__(self, names, given):
        given = given or {}
        for name in names:
            setattr(self, name, given.get(name))


class ClientContext:
    def __init__(self, given):
        self.client = Parts(("installation_id", "app_title", "app_version_name", "app_version_code",
                             "app_package_name"), given.get("client"))
        self.custom = given.get("custom")
        self.env = given.get("env")


class Context:
    """Context is the second argument of a handler."""

    def __init__(self, fields):
        env = os.environ
        self.aws_request_id = fields["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = fields.get("lambda-runtime-invoked-function-arn")
        self.function_name = env["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = env["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = env["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = env["AWS_LAMBDA_LOG_STREAM_NAME"]
        identity = json.loads(fields.get("lambda-runtime-cognito-identity") or "{}")
        self.identity = Parts(("cognito_identity_id", "cognito_identity_pool_id"), {
            "cognito_identity_id": identity.get("cognitoIdentityId"),
            "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId")})
        client = fields.get("lambda-runtime-client-context")
        self.client_context = ClientContext(json.loads(client)) if client else None
        self._deadline = int(fields["lambda-runtime-deadline-ms"])

    def get_remaining_time_in_millis(self):
        return max(self._deadline - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))


class InitError(Exception):
    """InitError is a handler that cannot be loaded."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def load(handler):
    module, dot, name = handler.rpartition(".")
    if not dot:
        raise InitError("Runtime.MalformedHandlerName",
                        "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % handler)
    try:
        name_of = module.replace("/", ".")
        __import__(name_of)
        loaded = sys.modules[name_of]
    except ImportError as e:
        raise InitError("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module, e)) from e
    except SyntaxError as e:
        raise InitError("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module, e)) from e
    try:
        return getattr(loaded, name)
    except AttributeError as e:
        raise InitError("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (name, module)) from e


def describe(e, request_id, kind=None, message=None):
    """describe prints an exception and returns its JSON form; the frames of this file are left out."""
    import traceback
    frames = [f for f in traceback.extract_tb(e.__traceback__) if f.filename != main.__code__.co_filename
              and not f.filename.startswith("<frozen importlib")]
    doc = {"errorMessage": str(e) if message is None else message, "errorType": kind or type(e).__name__,
           "requestId": request_id, "stackTrace": traceback.format_list(frames)}
    print("[ERROR] %s: %s\nTraceback (most recent call last):\n%s" % (
        doc["errorType"], doc["errorMessage"], "".join(doc["stackTrace"])), flush=True)
    return json.dumps(doc).encode(), "Lambda-Runtime-Function-Error-Type: %s\r\n" % doc["errorType"]


def plain(value):
    """plain turns the one type that boto3 returns and json does not know."""
    if type(value).__name__ == "Decimal":
        return float(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


class Logging:
    """Logging gives the root logger a handler in Lambda's form, once logging has been imported."""

    done = False
    request_id = ""

    def ensure(self):
        logging = sys.modules.get("logging")
        if self.done or logging is None or not hasattr(logging, "getLogger"):
            return
        self.done = True
        root = logging.getLogger()
        if root.handlers:
            return
        outer = self

        class Stamp(logging.Filter):
            def filter(self, record):
                record.aws_request_id = outer.request_id
                return True

        handler = logging.StreamHandler(sys.stdout)
        form = logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
                                 "%Y-%m-%dT%H:%M:%S")
        form.converter = time.gmtime
        handler.setFormatter(form)
        handler.addFilter(Stamp())
        root.addHandler(handler)


def invoke(handler, event, context):
    """invoke returns what to post: the last part of the path, the body, the headers."""
    request_id = context.aws_request_id
    try:
        answer = handler(json.loads(event), context)
    except Exception as e:
        return ("error", *describe(e, request_id))
    try:
        return "response", json.dumps(answer, default=plain, ensure_ascii=False).encode(), ""
    except Exception as e:
        return ("error", *describe(e, request_id, "Runtime.MarshalError", "Unable to marshal response: %s" % e))


def see_packages():
    """see_packages does what site does at the start, from which it is kept: but it runs no .pth files, which can take
    longer than all the rest."""
    sys.path.extend(d for d in site.getsitepackages() if d not in sys.path and os.path.isdir(d))
    site.setquit()
    site.execsitecustomize()


def main():
    sys.stdout.reconfigure(line_buffering=True)
    sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]
    see_packages()
    client, logs = Client(), Logging()
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as e:
        body, headers = describe(e, "", getattr(e, "kind", None))
        client.call("POST", "init/error", body, headers)
        sys.exit(1)
    while True:
        status, fields, event = client.call("GET", "invocation/next")
        if status != 200:
            sys.exit(1)
        logs.request_id = fields["lambda-runtime-aws-request-id"]
        logs.ensure()
        trace = fields.get("lambda-runtime-trace-id")
        if trace:
            os.environ["_X_AMZN_TRACE_ID"] = trace
        last, body, headers = invoke(handler, event, Context(fields))
        sys.stdout.flush()
        sys.stderr.flush()
        client.call("POST", "invocation/%s/%s" % (logs.request_id, last), body, headers)


main()
