import { existsSync } from 'node:fs'
import { cp, mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { isOnPath, runProgram } from './child-program.ts'

/** A program that is a client of 1.5, in another language, with gRPC's own library for it. */
export interface GrpcClient extends AsyncDisposable {
  /** Plays its scenes against a server. @returns what it printed of each, by the scene's name. */
  play(address: string): Promise<ReadonlyMap<string, unknown>>
}

const programs = fileURLToPath(new URL('../compatibility/clients', import.meta.url))
const contract = fileURLToPath(new URL('../../proto', import.meta.url))
/** What is 1.5's of it. */
const services = ['auth', 'health', 'pfs', 'pps', 'version'] as const

// As Debian has them: others that come first on the path lack its libraries.
const python = '/usr/bin/python3'
const pythonPlugin = '/usr/bin/grpc_python_plugin'
const pythonLibrary = '/usr/lib/python3/dist-packages/grpc'
const goLibraries = '/usr/share/gocode'
const goPackages = 'github.com/golang/protobuf/ptypes'

function scenesOf(printed: string): ReadonlyMap<string, unknown> {
  const lines = printed.trimEnd().split('\n')
  const scenes = lines.map((line) => JSON.parse(line) as { readonly scene: string })
  return new Map(scenes.map(({ scene, ...found }) => [scene, found]))
}

async function makeModules(args: readonly string[], directory: string): Promise<void> {
  await runProgram('protoc', ['-I', contract, ...args], { directory })
}

/** grpcio, on gRPC's core in C++. */
export class PythonGrpcClient implements GrpcClient {
  readonly #directory: TemporaryDirectory

  private constructor(directory: TemporaryDirectory) {
    this.#directory = directory
  }

  static get isInstalled(): boolean {
    return (
      isOnPath('protoc') && [python, pythonPlugin, pythonLibrary].every((path) => existsSync(path))
    )
  }

  static async make(): Promise<PythonGrpcClient> {
    const directory = await TemporaryDirectory.create()
    const to = directory.path
    const plugin = `--plugin=protoc-gen-grpc=${pythonPlugin}`
    const files = services.map((name) => `${name}.proto`)
    await makeModules([`--python_out=${to}`, plugin, `--grpc_out=${to}`, ...files], to)
    return new PythonGrpcClient(directory)
  }

  async play(address: string): Promise<ReadonlyMap<string, unknown>> {
    const { path } = this.#directory
    const environment = { PYTHONPATH: path, PYTHONDONTWRITEBYTECODE: '1' }
    const args = [`${programs}/client.py`, address]
    return scenesOf(await runProgram(python, args, { directory: path, environment }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]()
  }
}

/** grpc-go, with messages by the generator that clients of 1.5 came from. */
export class GoGrpcClient implements GrpcClient {
  readonly #directory: TemporaryDirectory

  private constructor(directory: TemporaryDirectory) {
    this.#directory = directory
  }

  static get isInstalled(): boolean {
    const libraries = [goPackages, 'google.golang.org/grpc'].map(
      (name) => `${goLibraries}/src/${name}`,
    )
    return (
      ['go', 'protoc', 'protoc-gen-go'].every(isOnPath) &&
      libraries.every((library) => existsSync(library))
    )
  }

  static async make(): Promise<GoGrpcClient> {
    const directory = await TemporaryDirectory.create()
    const known = ['duration', 'empty', 'timestamp', 'wrappers'] as const
    const places = [
      ...services.map((name) => `M${name}.proto=pachyderm/${name}`),
      ...known.map((name) => `Mgoogle/protobuf/${name}.proto=${goPackages}/${name}`),
    ]
    for (const name of services) {
      const to = directory.join('src/pachyderm', name)
      await mkdir(to, { recursive: true })
      await makeModules([`--go_out=plugins=grpc,${places.join(',')}:${to}`, `${name}.proto`], to)
    }
    await cp(`${programs}/client.go`, directory.join('client.go'))
    await runProgram('go', ['build', '-o', 'client', 'client.go'], {
      directory: directory.path,
      environment: {
        GO111MODULE: 'off',
        GOPATH: `${directory.path}:${goLibraries}`,
        GOCACHE: directory.join('cache'),
      },
    })
    return new GoGrpcClient(directory)
  }

  async play(address: string): Promise<ReadonlyMap<string, unknown>> {
    const { path } = this.#directory
    return scenesOf(await runProgram('./client', [address], { directory: path }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]()
  }
}
