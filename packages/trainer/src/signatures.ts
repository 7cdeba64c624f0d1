// The failure signatures that the paper's review names (PAPER.md, sections 2 and 3), as checks that give a reason.
import type { Warning } from './types.js'

const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length

function deviation(x: readonly number[]): number {
  const m = mean(x)
  return Math.sqrt(x.reduce((s, v) => s + (v - m) ** 2, 0) / Math.max(1, x.length - 1))
}

/** Entropy in nats of token counts: the loss of a model that knows how frequent each token is, and nothing else. */
export function unigramEntropy(counts: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i]!
  let h = 0
  for (let i = 0; i < counts.length; i++) {
    const p = counts[i]! / total
    if (p > 0) h -= p * Math.log(p)
  }
  return h
}

// The paper's rule is for a 32k BPE on English, where a token has about 4.2 bytes.
const paperLimit = 2
const paperBytesPerToken = 4.2

export interface LanguageFacts {
  /** Mean final loss in nats a token. */
  finalLoss: number
  /** Of the training text, see `unigramEntropy`. */
  unigram: number
  bytesPerToken: number
  parameters: number
  tokens: number
}

/**
 * Stage 1: is the decoder too weak to build on? The rule of thumb "final loss above 2.0" holds for its vocabulary and
 * for enough data. It is scaled to this tokenizer's bytes per token, and used from 20 tokens a parameter on (arXiv
 * 2203.15556); below that the measure is what frequencies alone would give: four fifths of it is too much.
 */
export function weakDecoder(facts: LanguageFacts): Warning | undefined {
  const { finalLoss, unigram, bytesPerToken, parameters, tokens } = facts
  const enough = tokens >= 20 * parameters
  const limit = enough ? paperLimit * (bytesPerToken / paperBytesPerToken) : 0.8 * unigram
  if (finalLoss <= limit) return undefined
  const why = enough
    ? `the paper's 2.0 for 4.2 bytes a token comes to ${limit.toFixed(2)} at ${bytesPerToken.toFixed(1)} bytes`
    : `token frequencies alone give ${unigram.toFixed(2)}, and four fifths of that is ${limit.toFixed(2)}`
  return {
    code: 'weak-decoder',
    message: `The final language loss is ${finalLoss.toFixed(3)}: ${why}. A decoder this weak gives stage 2 no text space to align to. Train longer (${(tokens / parameters).toFixed(1)} tokens a parameter so far), on more text, or with a higher learning rate.`,
  }
}

/**
 * Stage 2: does the alignment loss fall at all? Compares the first and the last tenth of the steps. Flat means that it
 * fell by less than 5 %, or by less than twice the standard error of the difference.
 * @param losses of all steps (or an even selection), in order
 */
export function flatCurve(losses: readonly number[]): Warning | undefined {
  if (losses.length < 20) return undefined
  const n = Math.max(5, Math.floor(losses.length / 10))
  const first = losses.slice(0, n)
  const last = losses.slice(-n)
  const fall = mean(first) - mean(last)
  const noise = 2 * Math.sqrt((deviation(first) ** 2 + deviation(last) ** 2) / n)
  const needed = Math.max(0.05 * Math.abs(mean(first)), noise)
  if (fall >= needed) return undefined
  return {
    code: 'flat-alignment',
    message: `The alignment loss went from ${mean(first).toFixed(3)} to ${mean(last).toFixed(3)}, less than the ${needed.toFixed(3)} that would show learning. The picture does not reach the text: look at the projector's learning rate, at whether captions name what is seen, and at the order of image tokens.`,
  }
}

// A loss near 0 moves by large shares of itself without meaning anything.
const negligible = 0.01

/**
 * Stage 3: is the language ability intact? Warns when the text-only loss rose by more than `tolerance` (default 5 %) and by
 * more than 0.01 nats a token.
 */
export function languageLoss(before: number, after: number, tolerance = 0.05): Warning | undefined {
  if (after <= before * (1 + tolerance) || after - before <= negligible) return undefined
  const rise = ((after / before - 1) * 100).toFixed(1)
  return {
    code: 'language-lost',
    message: `The text-only loss rose from ${before.toFixed(3)} to ${after.toFixed(3)} (${rise} %, ${(tolerance * 100).toFixed(0)} % are allowed). Fine-tuning overwrites the decoder: mix text-only samples in, or lower its learning rate.`,
  }
}

/** A single step far above its past: more than `factor` times the median of the last 50 of its kind, and `least` above it. */
export function lossSpike(
  loss: number,
  recent: readonly number[],
  factor = 3,
  least = 0.1,
): Warning | undefined {
  if (recent.length < 50) return undefined
  const median = recent.slice(-50).sort((a, b) => a - b)[25]!
  if (!(median > 0) || loss <= factor * median || loss - median < least) return undefined
  return {
    code: 'loss-spike',
    message: `The loss jumped to ${loss.toFixed(3)}, ${(loss / median).toFixed(1)} times the median of the 50 steps before. If it stays there, lower the learning rate.`,
  }
}
