// Tokenizers anywhere: no file system, no threads.

export { Tokenizer } from './tokenizer.js'
export * from './exports.js'
