#!/usr/bin/env node
import { Interrupts } from './io.js'
import { main } from './main.js'

const { stdin, stdout, stderr, env } = process
// A reader that has seen enough (head) is no failure.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})
const interrupts = new Interrupts()
process.on('SIGINT', () => {
  if (!interrupts.interrupt()) process.exit(130)
})
const colours = stdout.isTTY && env.NO_COLOR === undefined && env.TERM !== 'dumb'
const io = { stdin, stdout, stderr, colours, interrupts, cwd: process.cwd(), env }
process.exitCode = await main(process.argv.slice(2), io)
