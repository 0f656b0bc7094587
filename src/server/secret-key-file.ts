import { createHash } from 'node:crypto'
import { chmod, link, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DataLossError, FailedPreconditionError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { SecretKey, SecretKeys } from '../pipelines/secret-keys.ts'
import { directoryError, systemCode } from '../storage/file-errors.ts'

const title = 'pachyderm-ts secret keys 1'
const keyBytes = 32
const fileBytesMax = 64 * 1024
/** For whoever runs the server, and nobody else. */
const keyFileMode = 0o600

/**
 * Keys in a file: the first seals, all open. Format: `docs/formats/secrets.md`. The file is read when a
 * key is first needed, and again when one is not found.
 */
export class SecretKeyFile implements SecretKeys {
  readonly place: string
  readonly #random: Random
  readonly #isMade: boolean
  #keys: readonly SecretKey[] | undefined
  #making: Promise<readonly SecretKey[]> | undefined

  /** `isMade`: the file is made, with one key, when it is needed and missing. */
  constructor(place: string, options: { readonly isMade: boolean; readonly random: Random }) {
    this.place = place
    this.#random = options.random
    this.#isMade = options.isMade
  }

  async current({ mayMake }: { readonly mayMake: boolean }): Promise<SecretKey> {
    const known = this.#keys ?? (await (mayMake ? this.#readOrMake() : this.#read()))
    const [first] = known ?? []
    if (first === undefined) throw missing(this.place)
    this.#keys = known
    return first
  }

  async find(id: string): Promise<SecretKey | undefined> {
    const known = this.#keys?.find((key) => key.id === id)
    if (known !== undefined) return known
    this.#keys = await this.#read()
    return this.#keys?.find((key) => key.id === id)
  }

  /** @throws {FailedPreconditionError} when it is missing; @throws {DataLossError} when it makes no sense. */
  async requireSound(): Promise<void> {
    if ((await this.#read()) === undefined) throw missing(this.place)
  }

  async #readOrMake(): Promise<readonly SecretKey[]> {
    // One file, however many ask for it at once.
    this.#making ??= this.#read()
      .then(async (keys) => keys ?? (await this.#make()))
      .finally(() => {
        this.#making = undefined
      })
    return await this.#making
  }

  async #read(): Promise<readonly SecretKey[] | undefined> {
    const text = await this.#text()
    if (text === undefined) return undefined
    const [first, ...lines] = text.split('\n')
    const keys = lines
      .filter((line) => line.trim() !== '' && !line.startsWith('#'))
      .map((line) => /^key ([0-9a-f]{64})\s*$/.exec(line)?.[1])
    const isSound = first === title && keys.length > 0 && keys.every((key) => key !== undefined)
    if (!isSound) throw damaged(this.place)
    return keys.map((hex) => keyOf(Buffer.from(hex ?? '', 'hex')))
  }

  async #text(): Promise<string | undefined> {
    try {
      await using file = await open(this.place, 'r')
      const { size, mode } = await file.stat()
      if (size > fileBytesMax) throw damaged(this.place)
      // A copy of the directory may have opened it to others.
      if (this.#isMade && (mode & 0o077) !== 0) await chmod(this.place, keyFileMode)
      return await file.readFile('utf8')
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw directoryError(error, `the file of keys ${this.place}`, this.place)
    }
  }

  /** Whole and durable, or not at all. */
  async #make(): Promise<readonly SecretKey[]> {
    if (!this.#isMade) throw missing(this.place)
    const key = keyOf(Buffer.from(this.#random.bytes(keyBytes)))
    const draft = `${this.place}.draft`
    try {
      await rm(draft, { force: true })
      {
        await using file = await open(draft, 'wx', keyFileMode)
        await file.writeFile(`${title}\nkey ${Buffer.from(key.bytes).toString('hex')}\n`)
        await file.sync()
      }
      // Never over another one.
      await link(draft, this.place)
      await rm(draft)
      await using directory = await open(dirname(this.place), 'r')
      await directory.sync()
    } catch (error) {
      throw directoryError(error, `the file of keys ${this.place}`, this.place)
    }
    return [key]
  }
}

function keyOf(bytes: Uint8Array): SecretKey {
  const hash = createHash('sha256').update('pachyderm-ts secret key\n').update(bytes).digest('hex')
  return { id: hash.slice(0, 16), bytes }
}

function missing(place: string): FailedPreconditionError {
  return new FailedPreconditionError(
    `the file of keys for secrets, ${place}, is missing: put it back; when it is lost for good, delete all secrets and create them again`,
  )
}

/** Says nothing of what is in it. */
function damaged(place: string): DataLossError {
  return new DataLossError(
    `the file of keys for secrets, ${place}, is damaged: it should read "${title}", and in each line after that "key" and 64 hex digits. Restore it from a backup; if it is new, and has sealed nothing yet, make it as docs/secrets.md says`,
  )
}
