//! Small ONNX files written field by field, so that a test can have a network with any fault it likes. Field numbers are
//! those of onnx.proto, stable since 2017.

/// What is wrong with the network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: mean of each channel times a matrix.
    None,
    /// Its answer is the square root of a negative number.
    NotANumber,
    /// It asks for a second input.
    SecondInput,
}

/// An embedder with input `x` [batch, 3, 112, 112] and output `embedding` [batch, `size`].
pub(crate) fn embedder(size: usize, fault: Fault) -> Vec<u8> {
    let weights: Vec<u8> = (0..3 * size).flat_map(|i| (((i * 37) % 17) as f32 / 8.5 - 1.0).to_le_bytes()).collect();
    let mut graph = Vec::new();
    graph.extend(node("GlobalAveragePool", &["x"], "mean"));
    graph.extend(node("Flatten", &["mean"], "flat"));
    let last = if fault == Fault::NotANumber {
        graph.extend(node("Neg", &["flat"], "negative"));
        graph.extend(node("Sqrt", &["negative"], "root"));
        "root"
    } else {
        "flat"
    };
    graph.extend(node("MatMul", &[last, "weights"], "embedding"));
    graph.extend(text(2, "tiny"));
    let mut tensor = [varint(1, 3), varint(1, size), varint(2, 1)].concat();
    tensor.extend(text(8, "weights"));
    tensor.extend(bytes(9, &weights));
    graph.extend(bytes(5, &tensor));
    graph.extend(bytes(11, &value("x", &[None, Some(3), Some(112), Some(112)])));
    if fault == Fault::SecondInput {
        graph.extend(bytes(11, &value("threshold", &[Some(1)])));
    }
    graph.extend(bytes(12, &value("embedding", &[None, Some(size)])));
    let operators = varint(2, 13);
    [varint(1, 8), bytes(7, &graph), bytes(8, &operators)].concat()
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|input| text(1, input)).collect();
    node.extend(text(2, output));
    node.extend(text(4, operator));
    bytes(1, &node)
}

fn value(name: &str, dims: &[Option<usize>]) -> Vec<u8> {
    let shape: Vec<u8> =
        dims.iter().flat_map(|dim| bytes(1, &dim.map_or_else(|| text(2, "batch"), |size| varint(1, size)))).collect();
    let tensor = [varint(1, 1), bytes(2, &shape)].concat();
    [text(1, name), bytes(2, &bytes(1, &tensor))].concat()
}

fn raw_varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7F {
        out.push(seven_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(seven_bits(value));
    out
}

fn seven_bits(value: usize) -> u8 {
    u8::try_from(value & 0x7F).expect("seven bits")
}

fn varint(field: usize, value: usize) -> Vec<u8> {
    [raw_varint(field << 3), raw_varint(value)].concat()
}

fn bytes(field: usize, content: &[u8]) -> Vec<u8> {
    [raw_varint(field << 3 | 2), raw_varint(content.len()), content.to_vec()].concat()
}

fn text(field: usize, content: &str) -> Vec<u8> {
    bytes(field, content.as_bytes())
}
