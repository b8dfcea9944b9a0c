# frozen_string_literal: true

# fogbank's runtime for Ruby functions: it loads the handler and serves the Runtime API.
require 'json'
require 'socket'

HOST, PORT = ENV.fetch('AWS_LAMBDA_RUNTIME_API').split(':')

# Client is one kept connection to the Runtime API.
class Client
  # call returns the status, the headers with names in lower case, and the body.
  def call(method, path, body = '', error_type = nil)
    @socket ||= TCPSocket.new(HOST, PORT).tap { |s| s.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1) }
    head = "#{method} /2018-06-01/runtime/#{path} HTTP/1.1\r\nHost: #{HOST}:#{PORT}\r\nContent-Length: #{body.bytesize}\r\n"
    head += "Lambda-Runtime-Function-Error-Type: #{error_type}\r\n" if error_type
    @socket.write("#{head}\r\n".b + body.b)
    status = (@socket.gets || exit!(0)).split[1].to_i
    fields = {}
    while (line = @socket.gets&.chomp) && !line.empty?
      name, value = line.split(':', 2)
      fields[name.downcase] = value.strip
    end
    [status, fields, @socket.read(fields.fetch('content-length', '0').to_i)]
  end
end

# LambdaContext is the context of a handler.
class LambdaContext
  attr_reader :aws_request_id, :invoked_function_arn, :log_group_name, :log_stream_name, :function_name,
              :memory_limit_in_mb, :function_version, :identity, :client_context, :deadline_ms

  def initialize(fields)
    @aws_request_id = fields['lambda-runtime-aws-request-id']
    @invoked_function_arn = fields['lambda-runtime-invoked-function-arn']
    @deadline_ms = fields['lambda-runtime-deadline-ms'].to_i
    @function_name = ENV.fetch('AWS_LAMBDA_FUNCTION_NAME')
    @function_version = ENV.fetch('AWS_LAMBDA_FUNCTION_VERSION')
    @memory_limit_in_mb = ENV.fetch('AWS_LAMBDA_FUNCTION_MEMORY_SIZE')
    @log_group_name = ENV.fetch('AWS_LAMBDA_LOG_GROUP_NAME')
    @log_stream_name = ENV.fetch('AWS_LAMBDA_LOG_STREAM_NAME')
    @identity = given(fields['lambda-runtime-cognito-identity'])
    @client_context = given(fields['lambda-runtime-client-context'])
  end

  def get_remaining_time_in_millis
    [@deadline_ms - (Time.now.to_f * 1000).to_i, 0].max
  end

  private

  def given(text)
    text && JSON.parse(text)
  end
end

# load_handler returns what is called for "file.method" or "file.Module::Class.method".
def load_handler(name)
  file, *owner, method = name.split('.')
  raise ArgumentError, "Invalid handler #{name}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD where FILENAME corresponds with an existing Ruby source file FILENAME.rb, CLASS is an optional module/class namespace and METHOD is a callable method." if method.nil? || owner.size > 1

  require File.join(ENV.fetch('LAMBDA_TASK_ROOT'), file)
  receiver = owner.empty? ? TOPLEVEL_BINDING.receiver : Object.const_get(owner.first)
  raise NameError, "undefined method '#{method}' for #{owner.first || 'main'}" unless receiver.respond_to?(method, true)

  receiver.method(method)
end

# describe prints an exception and returns its JSON form; the frames of this file are left out.
def describe(error, stage)
  frames = (error.backtrace || []).take_while { |f| !f.start_with?(__FILE__) }
  doc = { errorMessage: error.message, errorType: "#{stage}<#{error.class.name}>", stackTrace: frames }
  puts "Error raised from handler method\n#{JSON.generate(doc)}"
  [JSON.generate(doc), doc[:errorType]]
end

def serve(client, handler)
  loop do
    status, fields, event = client.call('GET', 'invocation/next')
    exit!(1) if status != 200
    here = "invocation/#{fields['lambda-runtime-aws-request-id']}"
    ENV['_X_AMZN_TRACE_ID'] = fields['lambda-runtime-trace-id']
    begin
      answer = handler.call(event: JSON.parse(event.force_encoding('UTF-8')), context: LambdaContext.new(fields))
      body = JSON.generate(answer)
    rescue NoMemoryError, SystemExit, SignalException
      raise
    rescue Exception => e # a function's LoadError and NotImplementedError are errors of its own, too
      client.call('POST', "#{here}/error", *describe(e, 'Function'))
    else
      client.call('POST', "#{here}/response", body)
    end
  end
end

$stdout.sync = true
$LOAD_PATH.unshift(ENV.fetch('LAMBDA_TASK_ROOT'))
client = Client.new
begin
  handler = load_handler(ENV.fetch('_HANDLER'))
rescue NoMemoryError, SystemExit, SignalException
  raise
rescue Exception => e
  client.call('POST', 'init/error', *describe(e, 'Init'))
  exit!(1)
end
serve(client, handler)
