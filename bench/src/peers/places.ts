// Where the peers come from and where they run: Debian's packages on this machine, a root folder of Debian 13 beside it
// (chroot), npm's and PyPI's packages in folders of their own. None of it becomes a part of this repository.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deviceInfo } from '@shakti/tensor'
import type { Command } from './program.js'

export const threads = 2
export const programs = join(dirname(fileURLToPath(import.meta.url)), 'programs')
/** Where installed peers are kept: $SHAKTI_PEERS, or ~/.cache/shakti. */
const cache = process.env['SHAKTI_PEERS'] ?? join(homedir(), '.cache/shakti')
const debian13 = join(cache, 'debian13')
export const npmFolder = join(cache, 'npm')
const venv = join(cache, 'python')

let scratchFolder: string | undefined
/** A folder for compiled programs, for as long as this process lives. */
function scratch(): string {
  if (scratchFolder === undefined) {
    const folder = (scratchFolder = mkdtempSync(join(tmpdir(), 'shakti-peers-')))
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  }
  return scratchFolder
}

/** Something that a peer needs and that can be fetched. */
export interface Need {
  /** Why it is not there; undefined when it is. */
  missing(): string | undefined
  /** Fetches it; shows what it does, and throws when that fails. */
  install(): void
}

export interface Place {
  /** What a peer from here has behind its id and its title. */
  readonly id: string
  readonly title: string
  /** The interpreter that has this place's PyTorch. */
  readonly python: string
  needs(...packages: string[]): Need
  /** Runs a shell script that finds the programs in $PROGRAMS and may write to $TMPDIR. */
  command(script: string): Command
}

/** The environment in which PyTorch, oneDNN and OpenBLAS are at their best. */
function best(): Record<string, string> {
  const library = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch as string]
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...(deviceInfo().isas.includes('avx512') ? { ATEN_CPU_CAPABILITY: 'avx512' } : {}),
    ...(library ? { LD_LIBRARY_PATH: `/usr/lib/${library}/openblas-openmp` } : {}),
    OMP_NUM_THREADS: String(threads),
    OPENBLAS_NUM_THREADS: String(threads),
    // Memory once had is kept, and lies in huge pages.
    MALLOC_MMAP_THRESHOLD_: '10000000000',
    MALLOC_TRIM_THRESHOLD_: '10000000000',
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
    THP_MEM_ALLOC_ENABLE: '1',
  }
}

function show(file: string, args: readonly string[]): void {
  console.error(`> ${[file, ...args].join(' ')}`)
  execFileSync(file, args, { stdio: ['ignore', 2, 2] })
}

const succeeds = (file: string, ...args: string[]): boolean =>
  spawnSync(file, args, { stdio: 'ignore' }).status === 0

export const host: Place = {
  id: '',
  title: '',
  python: '/usr/bin/python3',
  needs: (...packages) => ({
    missing: () => {
      const absent = packages.filter((name) => !succeeds('dpkg', '-s', name))
      return absent.length > 0 ? `Debian's ${absent.join(' and ')} not installed` : undefined
    },
    install: () => show('apt-get', ['install', '-y', '--no-install-recommends', ...packages]),
  }),
  command: (script) => ({
    file: '/bin/sh',
    args: ['-c', script],
    env: { ...best(), PROGRAMS: programs, TMPDIR: scratch() },
  }),
}

const packages13 = [
  ...['python3-torch', 'libopenblas0-openmp', 'libdnnl-dev', 'g++'],
  // For torch.compile.
  ...['libtorch-dev', 'python3-dev', 'python3-setuptools'],
]

const root13: Need = {
  missing: () => (existsSync(debian13) ? undefined : `no Debian 13 root at ${debian13}`),
  install: () => {
    if (!succeeds('which', 'mmdebstrap')) host.needs('mmdebstrap').install()
    // From where this machine has its own packages.
    const format = ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']
    const mirror = execFileSync('apt-get', [...format, 'Origin: Debian', 'Label: Debian'], {
      encoding: 'utf8',
    }).split('\n')[0]!
    if (mirror === '') throw new Error("apt-get names no mirror of Debian's")
    mkdirSync(cache, { recursive: true })
    const unfinished = `${debian13}.part`
    rmSync(unfinished, { recursive: true, force: true })
    show('mmdebstrap', [
      '--variant=essential',
      `--include=${packages13.join(',')}`,
      ...['doc', 'man', 'locale'].map((f) => `--dpkgopt=path-exclude=/usr/share/${f}/*`),
      '--dpkgopt=force-unsafe-io',
      'trixie',
      unfinished,
      mirror,
    ])
    renameSync(unfinished, debian13)
  },
}

// The mounts are this process's own and end with it; so does what it writes to /tmp.
const enter = `set -e
for f in proc sys dev; do mount --rbind /$f "$0/$f"; done
mount -t tmpfs tmpfs "$0/tmp"
mount --bind "$1" "$0/mnt"
exec chroot "$0" /bin/sh -c "$2"`

export const debian13Place: Place = {
  id: '-debian13',
  title: ', Debian 13',
  python: '/usr/bin/python3',
  needs: () => root13,
  command: (script) => ({
    file: 'unshare',
    args: ['--mount', '/bin/sh', '-c', enter, debian13, programs, script],
    env: { ...best(), PROGRAMS: '/mnt', TMPDIR: '/tmp' },
  }),
}

/** A virtual environment with what PyPI and PyTorch's own index of builds for CPUs have today. */
export const pypiPlace: Place = {
  ...host,
  id: '-pypi',
  title: ', PyPI',
  python: join(venv, 'bin/python'),
  needs: () => ({
    missing: () => (existsSync(venv) ? undefined : `no virtual environment at ${venv}`),
    install: () => {
      const unfinished = `${venv}.part`
      rmSync(unfinished, { recursive: true, force: true })
      show('python3', ['-m', 'venv', unfinished])
      const cpu = ['--extra-index-url', 'https://download.pytorch.org/whl/cpu']
      const pip = [join(unfinished, 'bin/python'), '-m', 'pip', 'install', ...cpu]
      show('env', [...pip, 'torch', 'transformers'])
      renameSync(unfinished, venv)
    },
  }),
}

/** npm's packages, without their install scripts: onnxruntime-node's would download CUDA. */
export const npmPackages = (...packages: string[]): Need => ({
  missing: () => {
    const absent = packages.filter((name) => !existsSync(join(npmFolder, 'node_modules', name)))
    return absent.length > 0 ? `npm's ${absent.join(' and ')} not in ${npmFolder}` : undefined
  },
  install: () => {
    mkdirSync(npmFolder, { recursive: true })
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund']
    show('npm', ['install', '--prefix', npmFolder, ...quiet, ...packages])
  },
})

/** A program of TypeScript here, in a process of its own. */
export const nodeCommand = (program: string): Command => ({
  file: process.execPath,
  args: [...process.execArgv, join(programs, program), npmFolder, String(threads)],
  env: { PATH: process.env['PATH'] ?? '' },
})

/** A line of shell that compiles a program of C++ and becomes it. */
export const compiled = (name: string, ...flags: string[]): string =>
  `g++ -O2 -march=native -std=c++17 "$PROGRAMS/${name}.cc" -o "$TMPDIR/${name}" ${flags.join(' ')} && exec "$TMPDIR/${name}" ${threads}`
