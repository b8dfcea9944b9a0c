// A custom runtime in Rust, of the standard library only: it answers every event with {"got":EVENT}, and the event
// "fail" with an error.
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;

const RUNTIME: &str = "/2018-06-01/runtime/invocation/";

/// request sends a request and returns the request id and the body of the answer.
fn request(api: &mut BufReader<TcpStream>, method: &str, path: &str, body: &str) -> Result<(String, String)> {
    write!(api.get_mut(), "{method} {RUNTIME}{path} HTTP/1.1\r\nHost: runtime\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        api.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "lambda-runtime-aws-request-id" => id = value.to_string(),
            "content-length" => length = value.parse().expect("a length"),
            _ => {}
        }
    }
    let mut bytes = vec![0; length];
    api.read_exact(&mut bytes)?;
    Ok((id, String::from_utf8(bytes).expect("an event in UTF-8")))
}

fn main() -> Result<()> {
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API").expect("the address of the Runtime API");
    let mut api = BufReader::new(TcpStream::connect(address)?);
    loop {
        let (id, event) = request(&mut api, "GET", "next", "")?;
        let (last, answer) = match event.as_str() {
            "\"fail\"" => ("error", r#"{"errorType":"Asked","errorMessage":"it was asked to"}"#.to_string()),
            _ => ("response", format!("{{\"got\":{event}}}")),
        };
        request(&mut api, "POST", &format!("{id}/{last}"), &answer)?;
    }
}
