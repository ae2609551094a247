use serde_json::json;

use super::*;

#[derive(JsonSchema)]
#[allow(dead_code, reason = "a description, never a value")]
struct PersonRow {
    last_name: String,
    note: Option<String>,
}

fn find(text: &[u8], format: Format) -> Result<ImportRows> {
    ImportRows::find::<PersonRow>(Bytes::copy_from_slice(text), format, "people")
}

fn rows(text: &[u8], format: Format) -> Vec<Value> {
    let rows = find(text, format).unwrap();
    let mut read = Vec::new();
    let each = rows.for_each(|row| {
        read.push(row.fields.map_or_else(Value::String, Value::Object));
        Ok(())
    });
    each.unwrap();
    assert_eq!(rows.count(), read.len());
    read
}

fn refused(text: &[u8], format: Format) -> String {
    find(text, format).unwrap_err().messages().join(" ")
}

#[test]
fn json_is_a_list_or_has_one() {
    let ada = [json!({"last_name": "Ada"})];
    for text in [
        r#"[{"last_name":"Ada"}]"#,
        "\u{feff} [ {\"last_name\":\"Ada\"} ] ",
        r#"{"data":[{"last_name":"Ada"}],"total":1}"#,
        r#"{"path":"x","people":[{"last_name":"Ada"}]}"#,
    ] {
        assert_eq!(rows(text.as_bytes(), Format::Json), ada, "{text}");
    }
    assert!(rows(b"[]", Format::Json).is_empty());
    let odd = [json!("The row must be an object."), json!({"id": 1})];
    assert_eq!(rows(br#"[1,{"id":1.0}]"#, Format::Json), odd);
}

#[test]
fn json_without_a_list_or_with_two_is_refused_and_so_is_what_is_no_json() {
    for text in ["{}", r#"{"data":{}}"#, r#"{"data":null}"#, r#"{"data":[],"people":[]}"#, "1", "null", "\"x\""] {
        let said = refused(text.as_bytes(), Format::Json);
        assert_eq!(said, "The body must be a list of rows, or an object with one under data or people.", "{text}");
    }
    for text in ["", "[{]", "[] []", "[{\"last_name\":\"A\"},", r#"{"data":[}"#] {
        assert!(refused(text.as_bytes(), Format::Json).contains("not valid JSON"), "{text}");
    }
}

#[test]
fn csv_has_a_line_of_names_in_any_order_and_commas_or_semicolons() {
    let two = [json!({"last_name": "Ada", "note": "a, b;\r\nc"}), json!({"last_name": "Bo", "note": null})];
    for text in [
        "last_name,note\r\nAda,\"a, b;\r\nc\"\r\nBo,\r\n",
        "\u{feff}note;last_name\n\"a, b;\r\nc\";Ada\n;Bo",
        "other,note, Last_Name \nx,\"a, b;\r\nc\",Ada\n\nx,,Bo\n",
    ] {
        assert_eq!(rows(text.as_bytes(), Format::Csv), two, "{text}");
    }
    let uneven = [json!({"last_name": "Ada"}), json!("The row has 3 cells, but there are 2 columns.")];
    assert_eq!(rows(b"last_name,note\nAda\nBo,x,y", Format::Csv), uneven);
    assert!(rows(b"last_name\n", Format::Csv).is_empty());
}

#[test]
fn csv_is_read_as_spreadsheets_write_it() {
    let zoe = [json!({"last_name": "Zoé", "note": "a;b"})];
    let utf_16 =
        |text: &str| [&[0xFF, 0xFE][..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat();
    let big =
        |text: &str| [&[0xFE, 0xFF][..], &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>()].concat();
    for (text, encoding) in [
        (b"last_name,note\nZo\xC3\xA9,a;b".to_vec(), "UTF-8"),
        (b"last_name,note\nZo\xE9,a;b\n".to_vec(), "Windows-1252"),
        (b"sep=;\r\nlast_name;note\r\nZo\xE9;\"a;b\"\r\n\x1A".to_vec(), "Windows-1252"),
        (b"\"sep=|\"\nlast_name|note|\nZo\xE9|a;b||\n|||\n".to_vec(), "Windows-1252"),
        (b"last_name\tnote\nZo\xE9 \t\xA0a;b\n".to_vec(), "Windows-1252"),
        (utf_16("last_name\tnote\r\nZoé\ta;b\r\n"), "UTF-16"),
        (big("last_name;note;;\nZoé;\"a;b\";;;\n;;;\n"), "UTF-16"),
    ] {
        assert_eq!(rows(&text, Format::Csv), zoe, "{text:?}");
        assert_eq!(find(&text, Format::Csv).unwrap().encoding().unwrap().0, encoding);
    }
}

#[test]
fn what_is_not_read_is_named() {
    let ignored = |text: &str, format| find(text.as_bytes(), format).unwrap().ignored_columns;
    assert_eq!(ignored("Ville,last_name,,,\nParis,Ada,x,,", Format::Csv), ["Ville", "column 3"]);
    assert!(ignored("last_name,note\nAda,", Format::Csv).is_empty());
    let json = r#"[{"last_name": "Ada", "id": 1, "Ville": 1}, 7, {"Ville": {}, "Rue": []}]"#;
    assert_eq!(ignored(json, Format::Json), ["Ville", "Rue"]);
}

#[test]
fn a_misplaced_quote_makes_a_bad_row() {
    let read = rows(b"last_name,note\n\"Second \" Field\",x\nBo,y\n", Format::Csv);
    assert!(read[0].as_str().is_some_and(|said| said.contains("misplaced")), "{read:?}");
    assert_eq!(read[1], json!({"last_name": "Bo", "note": "y"}));
}

#[test]
fn csv_that_cannot_be_meant_is_refused_as_a_whole() {
    let names = "The first line must contain column names; they may be last_name, note.";
    for (text, says) in [
        (&b""[..], names),
        (b"Ada,Bo\n1,2", names),
        (b"last_name,note,Note\n", "The column note is repeated."),
        (b"last_name\nAda\n\"Bo\n#\n", "The row that begins in line 3 has a quote that is not closed."),
        (b"last_name\nAda\n\n\"B\no\n#\n", "The row that begins in line 4 has a quote that is not closed."),
        (b"sep=;\nlast_name\n\"Bo", "The row that begins in line 3 has a quote that is not closed."),
        (b"\xFF\xFEl\0a\0", names),
        (b"\xFF\xFE\0\xD8l\0", "The file begins as UTF-16 but is not valid UTF-16."),
        (b"\xEF\xBB\xBFlast_name\nZo\xE9", "The file has a UTF-8 byte order mark but is not valid UTF-8."),
    ] {
        assert_eq!(refused(text, Format::Csv), says, "{text:?}");
    }
}
