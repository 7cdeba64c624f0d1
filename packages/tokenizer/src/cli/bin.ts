#!/usr/bin/env node
import { installTimeLimit } from '../node/time-limit.js'
import { main } from './main.js'

installTimeLimit()
const { stdin, stdout, stderr, env } = process
// A reader that has seen enough (head) is no failure.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})
const colours = stdout.isTTY && env.NO_COLOR === undefined && env.TERM !== 'dumb'
process.exitCode = await main(process.argv.slice(2), { stdin, stdout, stderr, colours })
