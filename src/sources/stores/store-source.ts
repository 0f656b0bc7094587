import { givenBack } from '../../base/bytes.ts'
import { InvalidArgumentError, NotFoundError, UnavailableError } from '../../base/errors.ts'
import { ownSourceName, shownSource, type StoreUrl } from '../../base/source-urls.ts'
import type { Bucket, CloudObject } from '../../clouds/bucket.ts'
import { patiently, resumedItems, type ResumePorts } from '../resumed-bytes.ts'
import { type Source, SourceBrokeError, type SourceFile } from '../source.ts'

/** An object of an object store, or all whose keys begin with a prefix. */
export class StoreSource implements Source {
  readonly name: string
  readonly ownName: string
  readonly #ports: ResumePorts
  readonly #bucket: Bucket
  readonly #key: string

  constructor(ports: ResumePorts, bucket: Bucket, url: StoreUrl) {
    this.#ports = ports
    this.#bucket = bucket
    this.#key = url.key
    this.name = `${bucket.name}/${url.key}`
    this.ownName = ownSourceName(url)
  }

  async *files(isRecursive: boolean, signal: AbortSignal): AsyncGenerator<SourceFile> {
    if (isRecursive) yield* this.#below(signal)
    else yield await this.#only(signal)
  }

  async #only(signal: AbortSignal): Promise<SourceFile> {
    const key = this.#key
    const found = await patiently(this.#ports, signal, (stop) =>
      broken(() => this.#bucket.find(key, stop)),
    )
    if (found !== undefined && key !== '') return this.#file('', found)
    throw new NotFoundError(
      `${this.name} not found: there is no such object; to put all whose keys begin with it, use -r`,
    )
  }

  /** A key with keys below it is a directory; any other, a prefix of names. Keys that end with a slash hold nothing. */
  async *#below(signal: AbortSignal): AsyncGenerator<SourceFile> {
    const directory = this.#key === '' || this.#key.endsWith('/') ? this.#key : `${this.#key}/`
    const prefix = (await this.#hasAny(directory, signal)) ? directory : this.#key
    const list = (stop: AbortSignal) => brokenItems(this.#bucket.list(prefix, stop))
    let isEmpty = true
    for await (const object of resumedItems(this.#ports, signal, list)) {
      isEmpty = false
      if (object.key.endsWith('/')) continue
      const rest = object.key.slice(prefix.length)
      yield this.#file(rest === '' ? '' : `/${rest}`, object)
    }
    if (isEmpty) throw new NotFoundError(`${this.name} not found: no key begins with it`)
  }

  async #hasAny(prefix: string, signal: AbortSignal): Promise<boolean> {
    const list = (stop: AbortSignal) => brokenItems(this.#bucket.list(prefix, stop))
    for await (const _ of resumedItems(this.#ports, signal, list)) return true
    return false
  }

  #file(path: string, object: CloudObject): SourceFile {
    requirePath(this.#bucket.name, path, object.key)
    const { sizeBytes, version } = object
    return {
      path,
      sizeBytes,
      version,
      open: (offset, signal) => brokenItems(givenBack(this.#bucket.read(object, offset, signal))),
    }
  }
}

/** Two keys must not become one path, nor a key one that it does not say. */
function requirePath(bucket: string, path: string, key: string): void {
  const [, ...names] = path.split('/')
  if (path === '' || names.every((name) => name !== '' && name !== '.' && name !== '..')) return
  throw new InvalidArgumentError(
    `cannot put ${shownSource(`${bucket}/${key}`)}: a part of its key is empty, "." or "..", which no file can be called; give a prefix without it`,
  )
}

/** Where a store is unavailable, trying again may help. */
async function broken<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask()
  } catch (error) {
    throw brokenError(error)
  }
}

async function* brokenItems<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item> {
  try {
    yield* items
  } catch (error) {
    throw brokenError(error)
  }
}

function brokenError(error: unknown): unknown {
  if (!(error instanceof UnavailableError)) return error
  return new SourceBrokeError(error.message, { cause: error })
}
