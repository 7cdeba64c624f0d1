// What a text cost: tokens and time.

export interface Usage {
  /** Tokens of the prompt, visual ones among them. */
  readonly prompt: number
  /** Of these, those that the prefix cache held. */
  readonly cached: number
  /** Of these, visual ones. */
  readonly visual: number
  /** Tokens written, a stop token among them. */
  readonly generated: number
  /** With a draft model: tokens that it guessed, and those of them that were right. */
  readonly drafted?: number
  readonly accepted?: number
}

/** In milliseconds. */
export interface Timing {
  /** Of the vision encoder; 0 when every image was known. */
  readonly encode: number
  /** Of reading the prompt. */
  readonly prefill: number
  /** From the call to the first token. */
  readonly firstToken: number
  /** From the first token to the last. */
  readonly decode: number
  /** Tokens after the first, by the seconds of `decode`; 0 when there is one alone. */
  readonly tokensPerSecond: number
}

/** How many positions of a prompt are visual tokens. */
export const visualCount = (source: Int32Array): number =>
  source.reduce((n, s) => n + (s < 0 ? 0 : 1), 0)

/**
 * @param at milliseconds of a clock: the call, the first and the last token
 * @param generated tokens written
 */
export function timingOf(
  spent: { encode: number; prefill: number },
  at: { start: number; first: number; last: number },
  generated: number,
): Timing {
  const decode = at.last - at.first
  return {
    encode: spent.encode,
    prefill: spent.prefill,
    firstToken: at.first - at.start,
    decode,
    tokensPerSecond: generated > 1 && decode > 0 ? ((generated - 1) * 1000) / decode : 0,
  }
}
