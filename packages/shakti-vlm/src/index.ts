export * from './config.js'
export * from './vlm.js'
