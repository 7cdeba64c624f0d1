// ggml's two plain quantised forms. A block is 32 numbers of a row and the f16 scale before them:
//   q8_0  34 bytes: scale max|x| / 127, then 32 signed bytes
//   q4_0  18 bytes: scale m / -8 with m the number of largest size, so that m itself is stored exactly; then 16 bytes, of which
//         byte j holds number j in its low half and number j + 16 in its high half, each 8 above its value

const f32 = new Float32Array(1)
const u32 = new Uint32Array(f32.buffer)

/** The bits of a number as IEEE f16, rounded to nearest, ties to even. */
export function f16Bits(value: number): number {
  f32[0] = value
  const bits = u32[0]!
  const sign = (bits >>> 16) & 0x8000
  const rest = bits & 0x7fffffff
  if (rest > 0x7f800000) return sign | 0x7e00
  if (rest >= 0x477ff000) return sign | 0x7c00
  if (rest < 0x38800000) {
    // Below f16's smallest normal number: a count of 2^-24.
    const count = Math.abs(f32[0]) * 2 ** 24
    const low = Math.floor(count)
    const part = count - low
    return sign | (low + (part > 0.5 || (part === 0.5 && low % 2 === 1) ? 1 : 0))
  }
  const kept = rest - 0x38000000
  return sign | ((kept + 0xfff + ((kept >>> 13) & 1)) >>> 13)
}

const block = 32

/** @param x a multiple of 32 numbers */
export function quantizeQ8(x: Float32Array): Uint8Array {
  const out = new Uint8Array((x.length / block) * 34)
  for (let start = 0, at = 0; start < x.length; start += block, at += 34) {
    let most = 0
    for (let i = start; i < start + block; i++) {
      const size = Math.abs(x[i]!)
      if (size > most) most = size
    }
    const scale = f16Bits(most / 127)
    out[at] = scale & 0xff
    out[at + 1] = scale >>> 8
    const inverse = most > 0 ? 127 / most : 0
    for (let i = 0; i < block; i++) {
      const v = x[start + i]! * inverse
      // Halves away from zero, as C's roundf.
      out[at + 2 + i] = v < 0 ? -Math.floor(0.5 - v) : Math.floor(v + 0.5)
    }
  }
  return out
}

/** @param x a multiple of 32 numbers */
export function quantizeQ4(x: Float32Array): Uint8Array {
  const out = new Uint8Array((x.length / block) * 18)
  for (let start = 0, at = 0; start < x.length; start += block, at += 18) {
    let most = 0
    let size = 0
    for (let i = start; i < start + block; i++) {
      const v = x[i]!
      if (Math.abs(v) > size) {
        size = Math.abs(v)
        most = v
      }
    }
    const scale = f16Bits(most / -8)
    out[at] = scale & 0xff
    out[at + 1] = scale >>> 8
    const inverse = most !== 0 ? -8 / most : 0
    for (let i = 0; i < 16; i++) {
      const low = Math.min(15, Math.floor(x[start + i]! * inverse + 8.5))
      const high = Math.min(15, Math.floor(x[start + 16 + i]! * inverse + 8.5))
      out[at + 2 + i] = low | (high << 4)
    }
  }
  return out
}
