import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildProgram, freePort, untilAnswering } from './child-program.ts'

const program = fileURLToPath(
  new URL('../../tools/azurite/node_modules/azurite/dist/src/blob/main.js', import.meta.url),
)

/** The account that every Azurite has, with the key that its documentation names. */
const account = 'devstoreaccount1'
const key =
  'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

/** Microsoft's own emulator of Azure Blob Storage, in memory. */
export class Azurite implements AsyncDisposable {
  readonly connection: string
  readonly #opened: AsyncDisposableStack

  private constructor(connection: string, opened: AsyncDisposableStack) {
    this.connection = connection
    this.#opened = opened
  }

  static get isInstalled(): boolean {
    return existsSync(program)
  }

  static async start(): Promise<Azurite> {
    await using opened = new AsyncDisposableStack()
    const directory = opened.use(await TemporaryDirectory.create())
    const port = await freePort()
    const where = ['--blobHost', '127.0.0.1', '--blobPort', String(port)]
    const options = [
      '--inMemoryPersistence',
      '--skipApiVersionCheck',
      '--disableTelemetry',
      '--silent',
    ]
    const child = opened.use(
      new ChildProgram(process.execPath, [program, ...where, ...options], {
        directory: directory.path,
      }),
    )
    const endpoint = `http://127.0.0.1:${port}`
    await untilAnswering(endpoint, child)
    const connection = `DefaultEndpointsProtocol=http;AccountName=${account};AccountKey=${key};BlobEndpoint=${endpoint}/${account};`
    return new Azurite(connection, opened.move())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }
}
