//! What decoding a token has to read, from the tensors of a model file.

use engine::gguf::Gguf;

/// Bytes of the weights read for each token, and of the key and value of one position in f16; `None` where the file
/// does not name its layers and heads as llama-like architectures do.
pub fn read_per_token(gguf: &Gguf) -> Option<(u64, u64)> {
    let embedding = gguf.tensor("token_embd.weight")?;
    let all: u64 = gguf.tensors().iter().map(|t| t.bytes).sum();
    let is_tied = gguf.tensor("output.weight").is_none();
    let embedding_bytes =
        if is_tied { 0 } else { embedding.bytes - embedding.bytes / embedding.rows().max(1) };
    let arch = gguf.require_str("general.architecture").ok()?;
    let count = |key: &str| gguf.u64(&format!("{arch}.{key}")).ok().flatten();
    let (layers, width, heads) =
        (count("block_count")?, count("embedding_length")?, count("attention.head_count")?);
    let kv_heads = count("attention.head_count_kv").unwrap_or(heads);
    let head_dim = count("attention.key_length").or_else(|| width.checked_div(heads))?;
    let kv_bytes = layers.checked_mul(kv_heads)?.checked_mul(head_dim)?.checked_mul(2 * 2)?;
    Some((all.checked_sub(embedding_bytes)?, kv_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_once_and_one_row_of_the_embedding() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("tiny.gguf");
        engine::synth::synth("tiny", &path, 1, &mut |_, _| {}).expect("written");
        let gguf = Gguf::open(&path).expect("valid");
        let (weights, kv) = read_per_token(&gguf).expect("llama");
        let all: u64 = gguf.tensors().iter().map(|t| t.bytes).sum();
        assert!(weights > 0 && weights <= all);
        let number = |key: &str| gguf.require_u64(&format!("llama.{key}")).expect("there");
        let head_dim = number("embedding_length") / number("attention.head_count");
        assert_eq!(kv, number("block_count") * number("attention.head_count_kv") * head_dim * 4);
    }
}
