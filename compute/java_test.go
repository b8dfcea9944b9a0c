package compute

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// javaSources are handlers of every form, and the interfaces of AWS's library as far as they use them, which a function
// brings along.
var javaSources = map[string]string{
	"com/amazonaws/services/lambda/runtime/RequestHandler.java":       "package com.amazonaws.services.lambda.runtime;\npublic interface RequestHandler<I, O> { O handleRequest(I input, Context context); }",
	"com/amazonaws/services/lambda/runtime/RequestStreamHandler.java": "package com.amazonaws.services.lambda.runtime;\npublic interface RequestStreamHandler { void handleRequest(java.io.InputStream in, java.io.OutputStream out, Context context) throws java.io.IOException; }",
	"com/amazonaws/services/lambda/runtime/LambdaLogger.java":         "package com.amazonaws.services.lambda.runtime;\npublic interface LambdaLogger { void log(String line); void log(byte[] line); }",
	"com/amazonaws/services/lambda/runtime/Context.java":              "package com.amazonaws.services.lambda.runtime;\npublic interface Context { String getAwsRequestId(); String getFunctionName(); int getMemoryLimitInMB(); int getRemainingTimeInMillis(); LambdaLogger getLogger(); }",
	"shop/Order.java": `package shop;
import com.amazonaws.services.lambda.runtime.*;
import java.util.*;
public class Order implements RequestHandler<Order.Item, Map<String, Object>> {
	public enum Size { SMALL, LARGE }
	public static class Item {
		private String name; private List<Part> parts; private Size size; public double price; private Integer none;
		public String getName() { return name; } public void setName(String v) { name = v; }
		public List<Part> getParts() { return parts; } public void setParts(List<Part> v) { parts = v; }
		public Size getSize() { return size; } public void setSize(Size v) { size = v; }
		public Integer getNone() { return none; } public void setNone(Integer v) { none = v; }
	}
	public static class Part { private long count; private boolean red; public long getCount() { return count; } public void setCount(long v) { count = v; } public boolean isRed() { return red; } public void setRed(boolean v) { red = v; } }
	public Map<String, Object> handleRequest(Item item, Context c) {
		c.getLogger().log("got " + item.getName());
		Map<String, Object> m = new LinkedHashMap<>();
		m.put("item", item); m.put("fn", c.getFunctionName()); m.put("mb", c.getMemoryLimitInMB()); m.put("left", c.getRemainingTimeInMillis() > 0);
		return m;
	}
	public String upper(String text) { return text.toUpperCase(); }
	public int sum(List<Integer> list, Context c) { int n = 0; for (int i : list) n += i; return n; }
	public Object same(Object o) { return o; }
	public static void nothing(Map<String, Object> event) { }
	public String fails(Map<String, Object> event) { throw new IllegalStateException("none left", new RuntimeException("why")); }
}`,
	"shop/Stream.java": `package shop;
import com.amazonaws.services.lambda.runtime.*;
public class Stream implements RequestStreamHandler {
	public void handleRequest(java.io.InputStream in, java.io.OutputStream out, Context c) throws java.io.IOException { out.write('['); in.transferTo(out); out.write(']'); }
}`,
	"shop/Broken.java": `package shop;
public class Broken { public Broken() { throw new IllegalStateException("not today"); } public String f(String s) { return s; } }`,
}

// TestJava compiles handlers and runs them.
func TestJava(t *testing.T) {
	if testing.Short() {
		t.Skip("a dozen starts of Java")
	}
	b := newBench(t, false)
	if err := b.process.Supported("java17"); err != nil {
		t.Skip(err)
	}
	zip := packed(compileJava(t)...)
	for _, test := range []struct{ handler, event, want, log string }{
		{"shop.Order", `{"name":"Zoë \"\u00e9\"","parts":[{"count":3000000000,"red":true}],"size":"LARGE","price":1.5,"none":null,"other":[{}]}`,
			`{"item":{"name":"Zoë \"é\"","none":null,"parts":[{"count":3000000000,"red":true}],"price":1.5,"size":"LARGE"},"fn":"f","mb":256,"left":true}`, "got Zoë"},
		{"shop.Order::handleRequest", `{"name":"x"}`, `{"item":{"name":"x","none":null,"parts":null,"price":0.0,"size":null},"fn":"f","mb":256,"left":true}`, ""},
		{"shop.Stream", `{"a": 1}`, `[{"a": 1}]`, ""},
		{"shop.Order::upper", `"abc"`, `"ABC"`, ""},
		{"shop.Order::sum", `[1,2,3]`, `6`, ""},
		{"shop.Order::same", `{"a":[1,-2.5,1e3,null,true,"\n"],"b":{}}`, `{"a":[1,-2.5,1000.0,null,true,"\n"],"b":{}}`, ""},
		{"shop.Order::nothing", `{}`, `null`, ""},
		{"shop.Order::fails", `{}`, `java.lang.IllegalStateException: none left`, "at shop.Order.fails"},
		{"shop.Order::sum", `{"a":1}`, `java.lang.IllegalArgumentException: An error occurred during JSON parsing: LinkedHashMap is not a java.util.List`, ""},
		{"shop.Nothing", `{}`, `java.lang.ClassNotFoundException: Class not found: shop.Nothing`, ""},
		{"shop.Order::nope", `{}`, `java.lang.NoSuchMethodException: No public method named nope with appropriate method signature found on class shop.Order`, ""},
		{"shop.Broken::f", `""`, `java.lang.IllegalStateException: not today`, ""},
	} {
		s := b.spec(b.put(zip))
		s.Runtime, s.Handler, s.MemoryMB, s.Timeout = "java17", test.handler, 256, time.Minute
		r := b.invokeAs(test.handler+test.event, s, test.event)
		got := string(r.Payload)
		if r.Failed {
			var doc struct{ ErrorType, ErrorMessage string }
			if err := json.Unmarshal(r.Payload, &doc); err != nil {
				t.Fatal(err)
			}
			got = doc.ErrorType + ": " + doc.ErrorMessage
		}
		if got != test.want {
			t.Errorf("%s %s: %s\nwant %s\nlog %s", test.handler, test.event, got, test.want, b.log())
		}
		if !strings.Contains(b.log(), test.log) {
			t.Errorf("%s: the log lacks %q", test.handler, test.log)
		}
	}
}

// compileJava makes the class files of javaSources.
func compileJava(t *testing.T) (list []file) {
	dir := t.TempDir()
	args := []string{"-d", dir + "/out"}
	for name, source := range javaSources {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, at)
	}
	if out, err := exec.Command("javac", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err := filepath.WalkDir(dir+"/out", func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		list = append(list, file{strings.TrimPrefix(path, dir+"/out/"), 0o644, string(b)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
