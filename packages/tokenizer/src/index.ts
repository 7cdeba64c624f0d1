// Any tokenizer.json: encode, decode, offsets, truncation, padding, chat templates; byte-level BPE: train.

export { Tokenizer } from './tokenizer.js'
export type {
  ChatOptions,
  DecodeOptions,
  EncodedChat,
  EncodeOptions,
  EncodingOptions,
  FurtherFiles,
  PaddingOptions,
  TrainOptions,
} from './tokenizer.js'
export { Encoding } from './encoding.js'
export type { Span, Truncation } from './encoding.js'
export type { AllowSpecial } from './added.js'
export { DEFAULT_CHAT_TEMPLATE, DEFAULT_SPECIAL_TOKENS } from './chat.js'
export type { ChatMessage, ContentPart } from './chat.js'
export { DecodeStream } from './decode.js'
export { FileFormatError, TemplateError, TokenizerError } from './errors.js'
export { ChatTemplate } from './template.js'
export type { TemplateLimits } from './template.js'
