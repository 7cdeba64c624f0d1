// Byte-level BPE: train, encode, decode, tokenizer.json and chat templates.

export { Tokenizer } from './tokenizer.js'
export type {
  ChatOptions,
  DecodeOptions,
  EncodedChat,
  EncodeOptions,
} from './tokenizer.js'
export type { TrainOptions } from './train/options.js'
export type { SplitPattern } from './train/patterns.js'
export type { TrainProgress } from './train/progress.js'
export type { Pruned } from './train/word-counts.js'
export { DEFAULT_CHAT_TEMPLATE, DEFAULT_SPECIAL_TOKENS } from './chat.js'
export type { ChatMessage, ContentPart } from './chat.js'
export { DecodeStream } from './decode.js'
export { FileFormatError, TemplateError, TokenizerError } from './errors.js'
export { ChatTemplate } from './template.js'
export type { TemplateLimits } from './template.js'
