// Generation: from a prompt to text.
export { beamSearch, type Beam, type BeamSearchOptions } from './beam.js'
export { generateBatch, streamBatch, type BatchOptions, type BatchToken } from './batch.js'
export { Candidates, type Scores, type TokenLogProb } from './candidates.js'
export { ByteConstraint, type ByteState } from './constraint/automaton.js'
export { type Allowed, type TokenConstraint, type TokenMask } from './constraint/constraint.js'
export { jsonConstraint, type JsonSchema } from './constraint/jsonSchema.js'
export { byteSet, Program, type ByteSet, type Routine } from './constraint/program.js'
export { Vocabulary, type TokenBytes } from './constraint/vocabulary.js'
export { type Finish, type TextDecoder, type Written, type WritingOptions } from './continuation.js'
export {
  generate,
  generateText,
  type GeneratedText,
  type GeneratedToken,
  type GenerateOptions,
} from './generate.js'
export { type ReadingOptions } from './open.js'
export { PrefixCache, type PrefixCacheOptions, type PrefixCacheStats } from './prefixCache.js'
export { type Prompt } from './prompt.js'
export { type ReadingProgress } from './reader.js'
export { type Timing, type Usage } from './result.js'
export * as samplers from './samplers.js'
export {
  sample,
  seededRandom,
  type History,
  type Sampler,
  type SamplingOptions,
} from './samplers.js'
export { type DraftModelOptions, type DraftOptions, type PromptLookupOptions } from './proposers.js'
export { type TextCoder } from './retokenizer.js'
