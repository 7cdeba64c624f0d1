// Tokenizers in Node: text to ids and back, training, files, chats.

import { installTimeLimit } from './node/time-limit.js'

installTimeLimit()

export { Tokenizer } from './node/tokenizer.js'
export type { ParallelOptions } from './node/tokenizer.js'
export type { TrainFilesOptions } from './node/train.js'
export * from './exports.js'
