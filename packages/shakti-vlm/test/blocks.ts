// ggml's blocks read back, by the format's definition.

export function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return (
    sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
  )
}

export function dequantizeQ8(bytes: Uint8Array): Float32Array {
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  return Float32Array.from({ length: (bytes.length / 34) * 32 }, (_, i) => {
    const at = Math.floor(i / 32) * 34
    return signed[at + 2 + (i % 32)]! * f16Value(bytes[at]! | (bytes[at + 1]! << 8))
  })
}

export function dequantizeQ4(bytes: Uint8Array): Float32Array {
  return Float32Array.from({ length: (bytes.length / 18) * 32 }, (_, i) => {
    const at = Math.floor(i / 32) * 18
    const j = i % 32
    const byte = bytes[at + 2 + (j % 16)]!
    return ((j < 16 ? byte & 15 : byte >>> 4) - 8) * f16Value(bytes[at]! | (bytes[at + 1]! << 8))
  })
}
