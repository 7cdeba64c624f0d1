#!/usr/bin/env node
// Here before anything is built, so that npm links it at install.
import '../dist/cli.js'
