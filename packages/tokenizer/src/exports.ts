// What the package exports everywhere, beside the Tokenizer.

export type { TiktokenOptions } from './read.js'
export type {
  DecodeOptions,
  EncodeOptions,
  EncodeTextOptions,
  EncodingOptions,
  PaddingOptions,
} from './options.js'
export type { AllowSpecial } from './added.js'
export { Encoding } from './encoding.js'
export type { Span, Truncation } from './encoding.js'
export type { FurtherFiles, TokenizerFiles } from './files/folder.js'
export type { ChatOptions, EncodedChat } from './chat/apply.js'
export { DEFAULT_CHAT_TEMPLATE, DEFAULT_SPECIAL_TOKENS } from './chat/default.js'
export type { TemplateLimits } from './chat/limits.js'
export type { ChatMessage, ContentPart } from './chat/messages.js'
export { ChatTemplate } from './chat/template.js'
export { DecodeStream } from './decode.js'
export { FileFormatError, TemplateError, TokenizerError } from './errors.js'
export { compression } from './train/compression.js'
export type { Compression } from './train/compression.js'
export type { TrainOptions } from './train/options.js'
export type { SplitPattern } from './train/patterns.js'
export type { TrainProgress } from './train/progress.js'
export type { Pruned } from './train/word-counts.js'
