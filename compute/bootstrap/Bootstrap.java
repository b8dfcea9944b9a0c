import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Proxy;
import java.lang.reflect.Type;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/**
 * fogbank's runtime for Java functions: it loads the handler and serves the Runtime API. The interfaces of AWS's library
 * come with the function and are met by reflection, so that this file needs nothing but Java.
 */
public final class Bootstrap {
    private static final String INTERFACES = "com.amazonaws.services.lambda.runtime.";
    private static final int MAX_DEPTH = 200;

    public static void main(String[] args) throws Exception {
        Api api = new Api(System.getenv("AWS_LAMBDA_RUNTIME_API"));
        Handler handler;
        try {
            handler = new Handler(System.getenv("_HANDLER"));
        } catch (Throwable e) {
            api.fail("init/error", e);
            System.exit(1);
            return;
        }
        for (;;) {
            Answer next = api.call("GET", "invocation/next", new byte[0], null);
            if (next.status != 200) {
                System.exit(1);
            }
            String here = "invocation/" + next.fields.get("lambda-runtime-aws-request-id");
            String trace = next.fields.get("lambda-runtime-trace-id");
            if (trace != null) {
                System.setProperty("com.amazonaws.xray.traceHeader", trace);
            }
            byte[] out;
            try {
                out = handler.run(next.body, new Context(next.fields));
            } catch (Throwable e) {
                api.fail(here + "/error", e);
                if (e instanceof VirtualMachineError) {
                    System.exit(1);
                }
                continue;
            }
            System.out.flush();
            api.call("POST", here + "/response", out, null);
        }
    }

    /** Answer is what the Runtime API answers; the names of its fields are in lower case. */
    private static final class Answer {
        int status;
        final Map<String, String> fields = new HashMap<>();
        byte[] body;
    }

    /** Api is one kept connection to the Runtime API. */
    private static final class Api {
        private final String address;
        private final Socket socket;
        private final InputStream in;

        Api(String address) throws IOException {
            int colon = address.lastIndexOf(':');
            this.address = address;
            socket = new Socket(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
            socket.setTcpNoDelay(true);
            in = new java.io.BufferedInputStream(socket.getInputStream(), 1 << 16);
        }

        Answer call(String method, String path, byte[] body, String errorType) throws IOException {
            String head = method + " /2018-06-01/runtime/" + path + " HTTP/1.1\r\nHost: " + address
                    + "\r\nContent-Type: application/json\r\nContent-Length: " + body.length + "\r\n"
                    + (errorType == null ? "" : "Lambda-Runtime-Function-Error-Type: " + errorType + "\r\n") + "\r\n";
            ByteArrayOutputStream all = new ByteArrayOutputStream(head.length() + body.length);
            all.write(head.getBytes(StandardCharsets.ISO_8859_1));
            all.write(body);
            all.writeTo(socket.getOutputStream());
            Answer a = new Answer();
            a.status = Integer.parseInt(line().split(" ")[1]);
            for (String l = line(); !l.isEmpty(); l = line()) {
                int colon = l.indexOf(':');
                a.fields.put(l.substring(0, colon).toLowerCase(Locale.ROOT), l.substring(colon + 1).trim());
            }
            a.body = in.readNBytes(Integer.parseInt(a.fields.getOrDefault("content-length", "0")));
            return a;
        }

        private String line() throws IOException {
            ByteArrayOutputStream b = new ByteArrayOutputStream();
            for (int c = in.read(); c != '\n'; c = in.read()) {
                if (c < 0) {
                    throw new EOFException("the Runtime API has gone");
                }
                b.write(c);
            }
            return b.toString(StandardCharsets.ISO_8859_1).trim();
        }

        /** fail prints an error and reports it. */
        void fail(String path, Throwable e) throws IOException {
            e.printStackTrace(System.out);
            System.out.flush();
            call("POST", path, Json.write(describe(e, 0)), e.getClass().getName());
        }

        private static Map<String, Object> describe(Throwable e, int depth) {
            Map<String, Object> doc = new LinkedHashMap<>();
            doc.put("errorMessage", e.getMessage() == null ? e.toString() : e.getMessage());
            doc.put("errorType", e.getClass().getName());
            List<String> trace = new ArrayList<>();
            for (StackTraceElement frame : e.getStackTrace()) {
                if (frame.getClassName().startsWith("Bootstrap")) {
                    break;
                }
                trace.add(frame.toString());
            }
            doc.put("stackTrace", trace);
            if (e.getCause() != null && depth < 8) {
                doc.put("cause", describe(e.getCause(), depth + 1));
            }
            return doc;
        }
    }

    /** Handler is the function's method, "package.Class" or "package.Class::method". */
    private static final class Handler {
        private final Object target;
        private final Method method;
        private final Type input;

        Handler(String name) throws Exception {
            int colons = name.indexOf("::");
            String className = colons < 0 ? name : name.substring(0, colons);
            Class<?> type;
            try {
                type = Class.forName(className);
            } catch (ClassNotFoundException e) {
                throw new ClassNotFoundException("Class not found: " + className, e);
            }
            String wanted = colons < 0 ? "handleRequest" : name.substring(colons + 2);
            if (colons < 0 && !isA(type, "RequestHandler") && !isA(type, "RequestStreamHandler")) {
                throw new IllegalArgumentException("Handler " + name + " on class " + className
                        + " implements neither RequestHandler nor RequestStreamHandler");
            }
            method = find(type, wanted);
            if (method == null) {
                throw new NoSuchMethodException("No public method named " + wanted
                        + " with appropriate method signature found on class " + className);
            }
            method.setAccessible(true);
            try {
                target = Modifier.isStatic(method.getModifiers()) ? null : type.getConstructor().newInstance();
            } catch (NoSuchMethodException e) {
                throw new NoSuchMethodException("Class " + className + " has no public zero-argument constructor");
            } catch (InvocationTargetException e) {
                throw sneak(e.getCause());
            }
            Type[] all = method.getGenericParameterTypes();
            input = all.length == 0 || isContext(method.getParameterTypes()[0]) ? null : resolve(all[0], type);
        }

        /** find picks the method of the name that takes most, one that takes a context before others. */
        private static Method find(Class<?> type, String name) {
            Method best = null;
            for (Method m : type.getMethods()) {
                if (m.isBridge() || !m.getName().equals(name) || rank(m) < 0) {
                    continue;
                }
                if (best == null || rank(m) > rank(best)) {
                    best = m;
                }
            }
            return best;
        }

        /** rank orders the forms a method may have; it is negative for others. */
        private static int rank(Method m) {
            Class<?>[] p = m.getParameterTypes();
            boolean context = p.length > 0 && isContext(p[p.length - 1]);
            int rest = context ? p.length - 1 : p.length;
            boolean streams = rest == 2 && p[0] == InputStream.class && p[1] == OutputStream.class;
            return rest > 1 && !streams ? -1 : 2 * p.length + (context ? 1 : 0);
        }

        byte[] run(byte[] event, Context context) throws Throwable {
            Class<?>[] p = method.getParameterTypes();
            Object[] given = new Object[p.length];
            ByteArrayOutputStream out = null;
            for (int i = 0; i < p.length; i++) {
                if (isContext(p[i])) {
                    given[i] = context.as(p[i]);
                } else if (p[i] == OutputStream.class) {
                    given[i] = out = new ByteArrayOutputStream();
                } else if (p[i] == InputStream.class) {
                    given[i] = new ByteArrayInputStream(event);
                } else {
                    given[i] = Json.convert(Json.parse(new String(event, StandardCharsets.UTF_8)), input);
                }
            }
            Object answer;
            try {
                answer = method.invoke(target, given);
            } catch (InvocationTargetException e) {
                throw e.getCause();
            }
            if (out != null) {
                return out.toByteArray();
            }
            return method.getReturnType() == void.class ? "null".getBytes(StandardCharsets.UTF_8) : Json.write(answer);
        }

        /** resolve finds what a type variable of RequestHandler stands for in a class. */
        private static Type resolve(Type wanted, Class<?> type) {
            if (!(wanted instanceof java.lang.reflect.TypeVariable)) {
                return wanted;
            }
            for (Class<?> c = type; c != null; c = c.getSuperclass()) {
                for (Type i : c.getGenericInterfaces()) {
                    if (i instanceof ParameterizedType && i.getTypeName().startsWith(INTERFACES + "RequestHandler<")) {
                        return ((ParameterizedType) i).getActualTypeArguments()[0];
                    }
                }
                Type above = c.getGenericSuperclass();
                if (above instanceof ParameterizedType) {
                    return ((ParameterizedType) above).getActualTypeArguments()[0];
                }
            }
            return Object.class;
        }

        private static boolean isA(Class<?> type, String name) {
            for (Class<?> c = type; c != null; c = c.getSuperclass()) {
                for (Class<?> i : c.getInterfaces()) {
                    if (i.getName().equals(INTERFACES + name) || isA(i, name)) {
                        return true;
                    }
                }
            }
            return false;
        }

        private static boolean isContext(Class<?> type) {
            return type.getName().equals(INTERFACES + "Context");
        }

        private static Exception sneak(Throwable e) throws Exception {
            if (e instanceof Error) {
                throw (Error) e;
            }
            throw (Exception) e;
        }
    }

    /** Context is the second argument of a handler; it becomes the function's own interfaces by proxies. */
    private static final class Context {
        private final Map<String, String> fields;

        Context(Map<String, String> fields) {
            this.fields = fields;
        }

        Object as(Class<?> type) {
            Map<String, Object> env = new HashMap<>();
            env.put("getAwsRequestId", fields.get("lambda-runtime-aws-request-id"));
            env.put("getInvokedFunctionArn", fields.get("lambda-runtime-invoked-function-arn"));
            env.put("getFunctionName", System.getenv("AWS_LAMBDA_FUNCTION_NAME"));
            env.put("getFunctionVersion", System.getenv("AWS_LAMBDA_FUNCTION_VERSION"));
            env.put("getLogGroupName", System.getenv("AWS_LAMBDA_LOG_GROUP_NAME"));
            env.put("getLogStreamName", System.getenv("AWS_LAMBDA_LOG_STREAM_NAME"));
            env.put("getMemoryLimitInMB", Integer.valueOf(System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")));
            long deadline = Long.parseLong(fields.get("lambda-runtime-deadline-ms"));
            return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, m, args) -> {
                switch (m.getName()) {
                    case "getRemainingTimeInMillis":
                        return (int) Math.max(deadline - System.currentTimeMillis(), 0);
                    case "getLogger":
                        return logger(m.getReturnType());
                    case "getClientContext":
                        return view(m.getReturnType(), fields.get("lambda-runtime-client-context"));
                    case "getIdentity":
                        return view(m.getReturnType(), fields.getOrDefault("lambda-runtime-cognito-identity", "{}"));
                    case "toString":
                        return "Context " + env.get("getAwsRequestId");
                    case "hashCode":
                        return System.identityHashCode(proxy);
                    case "equals":
                        return proxy == args[0];
                    default:
                        return env.get(m.getName());
                }
            });
        }

        private static Object logger(Class<?> type) {
            return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, m, args) -> {
                if (m.getName().equals("log")) {
                    byte[] line = args[0] instanceof byte[] ? (byte[]) args[0] : String.valueOf(args[0]).getBytes(StandardCharsets.UTF_8);
                    System.out.write(line, 0, line.length);
                    if (line.length == 0 || line[line.length - 1] != '\n') {
                        System.out.write('\n');
                    }
                    System.out.flush();
                }
                return null;
            });
        }

        /** view is a document seen through an interface of getters; null when there is none. */
        private static Object view(Class<?> type, String text) {
            if (text == null) {
                return null;
            }
            return seen(type, (Map<?, ?>) Json.parse(text));
        }

        private static Object seen(Class<?> type, Map<?, ?> doc) {
            Map<String, Object> names = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
            doc.forEach((k, v) -> names.put(String.valueOf(k).replace("_", "").replace("cognito", ""), v));
            return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, m, args) -> {
                String name = m.getName().startsWith("get") ? m.getName().substring(3) : m.getName();
                Object v = names.get(name.equals("Environment") ? "env" : name);
                return v instanceof Map && m.getReturnType() != Map.class && m.getReturnType().isInterface() ? seen(m.getReturnType(), (Map<?, ?>) v) : v;
            });
        }
    }

    /** Json reads and writes JSON, and turns it into what a handler takes. */
    private static final class Json {
        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        static Object parse(String text) {
            Json j = new Json(text);
            Object value = j.value(0);
            j.space();
            if (j.at < text.length()) {
                throw j.wrong();
            }
            return value;
        }

        private IllegalArgumentException wrong() {
            return new IllegalArgumentException("An error occurred during JSON parsing at offset " + at);
        }

        private void space() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
        }

        private boolean take(char c) {
            space();
            if (at < text.length() && text.charAt(at) == c) {
                at++;
                return true;
            }
            return false;
        }

        private Object value(int depth) {
            space();
            if (at >= text.length() || depth > MAX_DEPTH) {
                throw wrong();
            }
            char c = text.charAt(at);
            if (c == '{') {
                return object(depth);
            }
            if (c == '[') {
                return array(depth);
            }
            if (c == '"') {
                return string();
            }
            for (Object[] word : new Object[][] {{"true", true}, {"false", false}, {"null", null}}) {
                if (text.startsWith((String) word[0], at)) {
                    at += ((String) word[0]).length();
                    return word[1];
                }
            }
            return number();
        }

        private Object object(int depth) {
            Map<String, Object> map = new LinkedHashMap<>();
            at++;
            if (take('}')) {
                return map;
            }
            do {
                space();
                String name = string();
                if (!take(':')) {
                    throw wrong();
                }
                map.put(name, value(depth + 1));
            } while (take(','));
            if (!take('}')) {
                throw wrong();
            }
            return map;
        }

        private Object array(int depth) {
            List<Object> list = new ArrayList<>();
            at++;
            if (take(']')) {
                return list;
            }
            do {
                list.add(value(depth + 1));
            } while (take(','));
            if (!take(']')) {
                throw wrong();
            }
            return list;
        }

        private String string() {
            if (at >= text.length() || text.charAt(at) != '"') {
                throw wrong();
            }
            StringBuilder b = new StringBuilder();
            for (at++; at < text.length(); at++) {
                char c = text.charAt(at);
                if (c == '"') {
                    at++;
                    return b.toString();
                }
                if (c != '\\') {
                    b.append(c);
                    continue;
                }
                if (++at >= text.length()) {
                    break;
                }
                c = text.charAt(at);
                int plain = "\"\\/bfnrt".indexOf(c);
                if (plain >= 0) {
                    b.append("\"\\/\b\f\n\r\t".charAt(plain));
                } else if (c == 'u' && at + 4 < text.length()) {
                    b.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
                    at += 4;
                } else {
                    throw wrong();
                }
            }
            throw wrong();
        }

        private Object number() {
            int from = at;
            while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
            try {
                BigDecimal n = new BigDecimal(text.substring(from, at));
                if (text.substring(from, at).matches("-?\\d+")) {
                    return n.precision() < 10 ? (Object) n.intValue() : n.precision() < 19 ? (Object) n.longValue() : n.toBigInteger();
                }
                return n.doubleValue();
            } catch (NumberFormatException e) {
                throw wrong();
            }
        }

        /** convert makes a parsed value one of a type. */
        static Object convert(Object v, Type type) throws Exception {
            if (type instanceof WildcardType) {
                return convert(v, ((WildcardType) type).getUpperBounds()[0]);
            }
            if (type instanceof GenericArrayType) {
                return array(v, ((GenericArrayType) type).getGenericComponentType());
            }
            Type[] args = type instanceof ParameterizedType ? ((ParameterizedType) type).getActualTypeArguments() : new Type[] {Object.class, Object.class};
            Object raw = type instanceof ParameterizedType ? ((ParameterizedType) type).getRawType() : type;
            Class<?> c = raw instanceof Class ? (Class<?>) raw : Object.class;
            if (c == Object.class || v == null && !c.isPrimitive()) {
                return v;
            }
            if (v == null) {
                return Array.get(Array.newInstance(c, 1), 0);
            }
            if (c == Optional.class) {
                return Optional.ofNullable(convert(v, args[0]));
            }
            if (c == String.class || c == CharSequence.class) {
                if (v instanceof Map || v instanceof List) {
                    throw mismatch(v, c);
                }
                return v.toString();
            }
            Object simple = simple(v, c);
            if (simple != null) {
                return simple;
            }
            if (c.isArray()) {
                return array(v, c.getComponentType());
            }
            if (v instanceof List && c.isAssignableFrom(ArrayList.class) || v instanceof List && Set.class.isAssignableFrom(c) && c.isAssignableFrom(LinkedHashSet.class)) {
                Collection<Object> all = c.isAssignableFrom(ArrayList.class) ? new ArrayList<>() : new LinkedHashSet<>();
                for (Object item : (List<?>) v) {
                    all.add(convert(item, args[0]));
                }
                return all;
            }
            if (v instanceof Map && c.isAssignableFrom(LinkedHashMap.class)) {
                Map<Object, Object> map = new LinkedHashMap<>();
                for (Map.Entry<?, ?> e : ((Map<?, ?>) v).entrySet()) {
                    map.put(convert(e.getKey(), args[0]), convert(e.getValue(), args[1]));
                }
                return map;
            }
            if (v instanceof Map && !c.isInterface()) {
                return bean((Map<?, ?>) v, c);
            }
            throw mismatch(v, c);
        }

        private static IllegalArgumentException mismatch(Object v, Class<?> c) {
            return new IllegalArgumentException("An error occurred during JSON parsing: " + v.getClass().getSimpleName() + " is not a " + c.getName());
        }

        /** simple converts to numbers, booleans, characters and enums; null when the type is another. */
        private static Object simple(Object v, Class<?> c) {
            if (c == boolean.class || c == Boolean.class) {
                return v instanceof Boolean ? v : Boolean.valueOf(v.toString());
            }
            if (c.isEnum()) {
                for (Object constant : c.getEnumConstants()) {
                    if (((Enum<?>) constant).name().equals(v)) {
                        return constant;
                    }
                }
                throw mismatch(v, c);
            }
            if (c == char.class || c == Character.class) {
                return v.toString().charAt(0);
            }
            if (!(v instanceof Number || v instanceof String) || !(c.isPrimitive() || Number.class.isAssignableFrom(c))) {
                return null;
            }
            BigDecimal n = new BigDecimal(v.toString());
            switch (c.getSimpleName()) {
                case "int": case "Integer":
                    return n.intValue();
                case "long": case "Long":
                    return n.longValue();
                case "double": case "Double":
                    return n.doubleValue();
                case "float": case "Float":
                    return n.floatValue();
                case "short": case "Short":
                    return n.shortValue();
                case "byte": case "Byte":
                    return n.byteValue();
                case "BigInteger":
                    return n.toBigInteger();
                case "BigDecimal":
                    return n;
                case "Number":
                    return v instanceof Number ? v : n;
                default:
                    return null;
            }
        }

        private static Object array(Object v, Type item) throws Exception {
            if (item == byte.class && v instanceof String) {
                return Base64.getDecoder().decode((String) v);
            }
            if (!(v instanceof List)) {
                throw mismatch(v, Object[].class);
            }
            List<?> list = (List<?>) v;
            Type raw = item instanceof ParameterizedType ? ((ParameterizedType) item).getRawType() : item;
            Object all = Array.newInstance(raw instanceof Class ? (Class<?>) raw : Object.class, list.size());
            for (int i = 0; i < list.size(); i++) {
                Array.set(all, i, convert(list.get(i), item));
            }
            return all;
        }

        /** bean fills an object by its setters and public fields, whose names may differ in case; others are left out. */
        private static Object bean(Map<?, ?> doc, Class<?> c) throws Exception {
            java.lang.reflect.Constructor<?> make = c.getDeclaredConstructor();
            make.setAccessible(true);
            Object o = make.newInstance();
            Map<String, Object> names = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
            doc.forEach((k, v) -> names.put(String.valueOf(k), v));
            for (Method m : c.getMethods()) {
                if (m.getName().startsWith("set") && m.getName().length() > 3 && m.getParameterCount() == 1 && names.containsKey(m.getName().substring(3))) {
                    m.setAccessible(true);
                    m.invoke(o, convert(names.get(m.getName().substring(3)), m.getGenericParameterTypes()[0]));
                }
            }
            for (Field f : c.getFields()) {
                if (!Modifier.isStatic(f.getModifiers()) && !Modifier.isFinal(f.getModifiers()) && names.containsKey(f.getName())) {
                    f.setAccessible(true);
                    f.set(o, convert(names.get(f.getName()), f.getGenericType()));
                }
            }
            return o;
        }

        static byte[] write(Object v) {
            StringBuilder b = new StringBuilder();
            try {
                write(b, v, 0);
            } catch (ReflectiveOperationException e) {
                throw new IllegalArgumentException("An error occurred during JSON serialization of response", e);
            }
            return b.toString().getBytes(StandardCharsets.UTF_8);
        }

        private static void write(StringBuilder b, Object v, int depth) throws ReflectiveOperationException {
            if (depth > MAX_DEPTH) {
                throw new IllegalArgumentException("An error occurred during JSON serialization of response: it is too deep");
            }
            boolean finite = v instanceof Number && !v.toString().endsWith("NaN") && !v.toString().endsWith("Infinity");
            if (v == null || v instanceof Boolean || finite) {
                b.append(v);
            } else if (v instanceof CharSequence || v instanceof Number || v instanceof Character || v instanceof Enum) {
                quote(b, v instanceof Enum ? ((Enum<?>) v).name() : v.toString());
            } else if (v instanceof byte[]) {
                quote(b, Base64.getEncoder().encodeToString((byte[]) v));
            } else if (v instanceof Optional) {
                write(b, ((Optional<?>) v).orElse(null), depth + 1);
            } else if (v instanceof Map) {
                members(b, (Map<?, ?>) v, depth);
            } else if (v instanceof Iterable) {
                char before = '[';
                for (Object item : (Iterable<?>) v) {
                    b.append(before);
                    before = ',';
                    write(b, item, depth + 1);
                }
                b.append(before == '[' ? "[]" : "]");
            } else if (v.getClass().isArray()) {
                List<Object> list = new ArrayList<>();
                for (int i = 0; i < Array.getLength(v); i++) {
                    list.add(Array.get(v, i));
                }
                write(b, list, depth);
            } else {
                members(b, properties(v), depth);
            }
        }

        private static void members(StringBuilder b, Map<?, ?> map, int depth) throws ReflectiveOperationException {
            char before = '{';
            for (Map.Entry<?, ?> e : map.entrySet()) {
                b.append(before);
                before = ',';
                quote(b, String.valueOf(e.getKey()));
                b.append(':');
                write(b, e.getValue(), depth + 1);
            }
            b.append(before == '{' ? "{}" : "}");
        }

        /** properties are what an object tells by its getters, the components of a record, and its public fields. */
        private static Map<String, Object> properties(Object o) throws ReflectiveOperationException {
            Map<String, Object> map = new TreeMap<>();
            Set<String> components = new LinkedHashSet<>();
            if (o.getClass().getSuperclass() != null && o.getClass().getSuperclass().getName().equals("java.lang.Record")) {
                for (Field f : o.getClass().getDeclaredFields()) {
                    components.add(f.getName());
                }
            }
            for (Method m : o.getClass().getMethods()) {
                String name = m.getName();
                if (m.getParameterCount() > 0 || Modifier.isStatic(m.getModifiers()) || m.getDeclaringClass() == Object.class || m.getReturnType() == void.class) {
                    continue;
                }
                boolean is = name.startsWith("is") && name.length() > 2 && m.getReturnType() == boolean.class;
                if (!components.contains(name)) {
                    if (!is && !(name.startsWith("get") && name.length() > 3)) {
                        continue;
                    }
                    name = name.substring(is ? 2 : 3);
                    name = Character.toLowerCase(name.charAt(0)) + name.substring(1);
                }
                m.setAccessible(true);
                map.put(name, m.invoke(o));
            }
            for (Field f : o.getClass().getFields()) {
                if (!Modifier.isStatic(f.getModifiers())) {
                    f.setAccessible(true);
                    map.putIfAbsent(f.getName(), f.get(o));
                }
            }
            return map;
        }

        private static void quote(StringBuilder b, String s) {
            b.append('"');
            for (int i = 0; i < s.length(); i++) {
                char c = s.charAt(i);
                int escaped = "\"\\\b\f\n\r\t".indexOf(c);
                if (escaped >= 0) {
                    b.append('\\').append("\"\\bfnrt".charAt(escaped));
                } else if (c < ' ') {
                    b.append(String.format("\\u%04x", (int) c));
                } else {
                    b.append(c);
                }
            }
            b.append('"');
        }
    }
}
