// fogbank's runtime for Node.js functions: it loads the handler and serves the Runtime API.
// It needs as little as it can, since that is the better part of a cold start.
'use strict';
const net = require('node:net');
const fs = require('node:fs');
const path = require('node:path');
const util = require('node:util');
const { Writable } = require('node:stream');
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');

const env = process.env;
const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
let idle; // a connection to the Runtime API that is kept for the next call
let requestId = 'undefined';
let answering = false; // a response in chunks has begun: an error can no more be told beside it

// call resolves to {status, headers, body}; body is a string.
function call(method, name, body = '', headers = {}) {
  return new Promise((resolve, reject) => {
    const socket = idle ?? net.connect({ host, port, noDelay: true });
    idle = undefined;
    let answer, length = 0, parts = [];
    const fail = (e) => reject(e instanceof Error ? e : new Error('the Runtime API has gone'));
    const read = (part) => {
      parts.push(part);
      length += part.length;
      if (!answer) {
        const all = Buffer.concat(parts), end = all.indexOf('\r\n\r\n');
        if (end < 0) return;
        answer = parseHead(all.toString('latin1', 0, end));
        parts = [all.subarray(end + 4)];
        length = parts[0].length;
      }
      if (length < Number(answer.headers['content-length'] ?? 0)) return;
      socket.off('data', read).off('error', fail).off('close', fail);
      socket.once('error', () => {}); // whoever calls next is told
      socket.unref(); // it is no reason to go on
      idle = socket;
      resolve({ ...answer, body: Buffer.concat(parts).toString() });
    };
    socket.ref();
    socket.on('data', read);
    socket.once('error', fail);
    socket.once('close', fail);
    const data = Buffer.from(body);
    const fields = { Host: `${host}:${port}`, 'Content-Type': 'application/json', 'Content-Length': data.length, ...headers };
    socket.cork();
    socket.write(`${method} /2018-06-01/runtime/${name} HTTP/1.1\r\n` +
      Object.entries(fields).map(([k, v]) => `${k}: ${v}\r\n`).join('') + '\r\n', 'latin1');
    socket.write(data);
    socket.uncork();
  });
}

// parseHead reads the head of an answer; names are in lower case.
function parseHead(text) {
  const [first, ...lines] = text.split('\r\n');
  const headers = {};
  for (const line of lines) {
    const at = line.indexOf(':');
    headers[line.slice(0, at).toLowerCase()] = line.slice(at + 1).trim();
  }
  return { status: Number(first.split(' ')[1]), headers };
}

// The console writes a line for each message, as Lambda's does: time, request, level, text.
function patchConsole() {
  const levels = { log: 'INFO', info: 'INFO', debug: 'DEBUG', warn: 'WARN', error: 'ERROR', trace: 'TRACE' };
  for (const [name, level] of Object.entries(levels)) {
    console[name] = (...args) => print(level, util.format(...args));
  }
}

function print(level, text) {
  const line = `${new Date().toISOString()}\t${requestId}\t${level}\t${text}`;
  fs.writeSync(1, line.replace(/\n/g, '\r') + '\n');
}

class InitError extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

// load returns the handler named by "dir/module.export".
async function load(handler) {
  const dir = path.dirname(handler);
  const found = /^([^.]*)\.(.+)$/.exec(path.basename(handler));
  if (!found) {
    throw new InitError('Runtime.MalformedHandlerName', 'Bad handler');
  }
  const module = await loadModule(path.resolve(env.LAMBDA_TASK_ROOT, dir, found[1]), found[1]);
  let value = module;
  for (const part of found[2].split('.')) {
    value = value?.[part];
  }
  if (value === undefined && module?.default !== undefined) {
    value = found[2].split('.').reduce((v, part) => v?.[part], module.default);
  }
  if (value === undefined) {
    throw new InitError('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  }
  if (typeof value !== 'function') {
    throw new InitError('Runtime.HandlerNotFound', `${handler} is not a function`);
  }
  return value;
}

async function loadModule(base, name) {
  const file = ['', '.js', '.mjs', '.cjs'].map((end) => base + end).find((f) => fs.statSync(f, { throwIfNoEntry: false })?.isFile());
  if (!file) {
    throw new InitError('Runtime.ImportModuleError', `Error: Cannot find module '${name}'`);
  }
  try {
    return await importOrRequire(file);
  } catch (e) {
    if (e instanceof SyntaxError) {
      throw Object.assign(new InitError('Runtime.UserCodeSyntaxError', `SyntaxError: ${e.message}`), { stack: e.stack });
    }
    if (e?.code === 'MODULE_NOT_FOUND' || e?.code === 'ERR_MODULE_NOT_FOUND') {
      throw Object.assign(new InitError('Runtime.ImportModuleError', `Error: ${e.message}`), { stack: e.stack });
    }
    throw e;
  }
}

async function importOrRequire(file) {
  if (file.endsWith('.mjs')) {
    return import(pathToFileURL(file).href);
  }
  try {
    return createRequire(file)(file);
  } catch (e) {
    if (e?.code === 'ERR_REQUIRE_ESM' || e?.code === 'ERR_REQUIRE_ASYNC_MODULE' || isModule(file)) {
      return import(pathToFileURL(file).href);
    }
    throw e;
  }
}

// isModule tells whether the nearest package.json makes a .js file an ES module.
function isModule(file) {
  for (let dir = path.dirname(file); ; dir = path.dirname(dir)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(dir, 'package.json'), 'utf8')).type === 'module';
    } catch {
      if (dir === path.dirname(dir)) return false;
    }
  }
}

// describe is an error in Lambda's form.
function describe(e) {
  if (!(e instanceof Error)) {
    return { errorType: typeof e, errorMessage: typeof e === 'string' ? e : util.format(e), trace: [] };
  }
  return { errorType: e.name || 'Error', errorMessage: e.message, trace: (e.stack || '').split('\n') };
}

function typeHeader(doc) {
  return { 'Lambda-Runtime-Function-Error-Type': String(doc.errorType).replace(/[^\x20-\x7e]/g, '?') };
}

function contextOf(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  const client = headers['lambda-runtime-client-context'];
  const identity = headers['lambda-runtime-cognito-identity'];
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: client ? JSON.parse(client) : undefined,
    identity: identity ? JSON.parse(identity) : undefined,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    getRemainingTimeInMillis: () => Math.max(deadline - Date.now(), 0),
  };
}

// run resolves to the handler's answer, whichever way it gives it: by a promise, by its callback, by
// context.done and its kin, or not at all, which is null once nothing is left to do.
function run(handler, event, context) {
  return new Promise((resolve, reject) => {
    const silent = () => resolve(null);
    const finish = (f) => (value) => {
      process.removeListener('beforeExit', silent);
      f(value);
    };
    const done = (e, value) => {
      const end = () => (e !== undefined && e !== null ? finish(reject)(e) : finish(resolve)(value));
      if (context.callbackWaitsForEmptyEventLoop) {
        process.removeListener('beforeExit', silent);
        process.once('beforeExit', end);
      } else {
        setImmediate(end);
      }
    };
    context.done = done;
    context.succeed = (value) => done(null, value);
    context.fail = (e) => done(e === undefined || e === null ? 'handled' : e);
    process.once('beforeExit', silent);
    const answer = handler(event, context, done);
    if (typeof answer?.then === 'function') {
      answer.then(finish(resolve), finish(reject));
    }
  });
}

// What handlers that stream are marked with; tools that wrap handlers know the names.
const streaming = Symbol.for('aws.lambda.runtime.handler.streaming');
const highWaterMark = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

// ResponseStream is a response in chunks. Its request begins with the first chunk, or the end.
class ResponseStream extends Writable {
  #contentType = 'application/octet-stream';
  #prelude;
  #path;
  #request;
  #error;
  answered; // resolves when the Runtime API has taken the response

  constructor(path, options) {
    super(options);
    this.#path = path;
    this.answered = new Promise((resolve, reject) => {
      this.once('answer', resolve);
      this.once('error', reject);
    });
    this.answered.catch(() => {});
  }

  setContentType(contentType) {
    if (this.#request) throw new Error('Cannot set content-type, too late.');
    this.#contentType = contentType;
  }

  // begin puts text, not yet to be sent, before the first chunk.
  begin(contentType, prelude) {
    this.setContentType(contentType);
    this.#prelude = prelude;
  }

  write(chunk, ...rest) {
    const plain = typeof chunk === 'string' || chunk instanceof Uint8Array;
    return super.write(plain ? chunk : JSON.stringify(chunk), ...rest);
  }

  // fail ends the response with an error behind what was written.
  fail(e) {
    this.#error = describe(e);
    if (!this.writableEnded) this.end();
  }

  #open() {
    if (this.#request) return;
    answering = true;
    this.#request = require('node:http').request({
      host, port, agent: false, method: 'POST', path: '/2018-06-01/runtime/' + this.#path,
      headers: {
        'Content-Type': this.#contentType, 'Lambda-Runtime-Function-Response-Mode': 'streaming', 'Transfer-Encoding': 'chunked',
        Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
      },
    }, (answer) => {
      answer.resume();
      answer.on('end', () => this.emit('answer'));
    });
    this.#request.on('error', (e) => this.destroy(e));
    if (this.#prelude) this.#request.write(this.#prelude);
  }

  _write(chunk, encoding, callback) {
    this.#open();
    this.#request.write(chunk, callback);
  }

  _final(callback) {
    this.#open();
    if (this.#error) {
      this.#request.addTrailers({
        ...typeHeader(this.#error),
        'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(this.#error)).toString('base64'),
      });
    }
    this.#request.end(callback);
  }
}

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[streaming] = 'response';
    if (options?.highWaterMark !== undefined) handler[highWaterMark] = parseInt(options.highWaterMark, 10);
    return handler;
  },
  HttpResponseStream: {
    // from makes a stream one of an HTTP response with the status, headers and cookies of metadata.
    from(stream, metadata) {
      stream.begin('application/vnd.awslambda.http-integration-response', JSON.stringify(metadata ?? {}) + '\0'.repeat(8));
      return stream;
    },
  },
};

// runStreaming lets a handler write its response, and resolves when that has arrived.
async function runStreaming(handler, event, context, here) {
  const stream = new ResponseStream(here + '/response', { highWaterMark: handler[highWaterMark] });
  try {
    await handler(event, stream, context);
  } catch (e) {
    logInvokeError(describe(e));
    stream.fail(e);
  }
  await stream.answered;
}

function logInvokeError(doc) {
  print('ERROR', 'Invoke Error \t' + JSON.stringify({ ...doc, trace: undefined, stack: doc.trace }));
}

// growSlowly makes V8 look for garbage whenever the heap has grown by a fifth, as it does near its limit: the heap of a
// function with little memory is not limited at the start. It is done late, since V8 then compiles libraries itself.
function growSlowly() {
  if (!process.execArgv.some((flag) => flag.startsWith('--max-old-space-size'))) {
    require('node:v8').setFlagsFromString('--heap-growing-percent=20');
  }
}

async function serve(handler) {
  if (handler[streaming]) require('node:http'); // before it is waited for
  growSlowly();
  for (;;) {
    const next = await call('GET', 'invocation/next');
    if (next.status !== 200) process.exit(1);
    requestId = next.headers['lambda-runtime-aws-request-id'];
    answering = false;
    if (next.headers['lambda-runtime-trace-id']) env._X_AMZN_TRACE_ID = next.headers['lambda-runtime-trace-id'];
    const here = 'invocation/' + requestId;
    try {
      if (handler[streaming]) {
        await runStreaming(handler, JSON.parse(next.body), contextOf(next.headers), here);
        continue;
      }
      const answer = await run(handler, JSON.parse(next.body), contextOf(next.headers));
      await call('POST', here + '/response', JSON.stringify(answer) ?? 'null');
    } catch (e) {
      const doc = describe(e);
      logInvokeError(doc);
      await call('POST', here + '/error', JSON.stringify(doc), typeHeader(doc));
    }
  }
}

// die reports an error nobody caught, and ends.
function die(kind, code) {
  return (e) => {
    const doc = describe(e);
    doc.errorMessage = kind === 'Runtime.UnhandledPromiseRejection' ? String(e) : doc.errorMessage;
    doc.errorType = kind || doc.errorType;
    print('ERROR', 'Uncaught Exception \t' + JSON.stringify(doc));
    if (answering) process.exit(code);
    const where = requestId === 'undefined' ? 'init/error' : `invocation/${requestId}/error`;
    call('POST', where, JSON.stringify(doc), typeHeader(doc)).finally(() => process.exit(code));
  };
}

patchConsole();
process.on('uncaughtException', die('', 129));
process.on('unhandledRejection', die('Runtime.UnhandledPromiseRejection', 128));
load(env._HANDLER).then(
  (handler) => serve(handler).catch(() => process.exit(1)),
  async (e) => {
    const doc = describe(e);
    print('ERROR', 'Uncaught Exception \t' + JSON.stringify(doc));
    await call('POST', 'init/error', JSON.stringify(doc), typeHeader(doc)).catch(() => {});
    process.exit(1);
  },
);
