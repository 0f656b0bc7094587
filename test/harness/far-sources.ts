import { BlobServiceClient } from '@azure/storage-blob'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import type { CloudEnvironment } from '../../src/clouds/bucket.ts'
import { Azurite } from './azurite.ts'
import { commitOf, fileOf, putFile } from './files.ts'
import { GcsServer } from './gcs-server.ts'
import { Radosgw } from './radosgw.ts'
import { ReplayedServer } from './replayed-server.ts'
import { TestPachd } from './test-pachd.ts'
import { WebServer } from './web-server.ts'

/** Where files come from, by way of a port that a test can do something to. */
export interface FarSource extends AsyncDisposable {
  readonly port: number
  /** For a server that is reached at `origin`, such as `http://localhost:1234`. */
  clouds(origin: string): CloudEnvironment
  /** Of one of its files. */
  url(origin: string, name: string): string
}

export interface FarSourceKind {
  /** One that has these files. */
  readonly open: (files: Readonly<Record<string, Uint8Array>>) => Promise<FarSource>
  readonly isInstalled: boolean
}

function environment(variables: Readonly<Record<string, string>>): CloudEnvironment {
  return { variables, secretsDirectory: '/nonexistent' }
}

const portOf = (url: string): number => Number(new URL(url).port)

/** What can be reached by TLS, too. */
export const webSources: Readonly<Record<string, FarSourceKind>> = {
  'the web': {
    isInstalled: true,
    async open(files) {
      const web = await WebServer.start()
      for (const [name, bytes] of Object.entries(files)) web.file(`/${name}`, bytes)
      return {
        port: web.port,
        clouds: () => environment({}),
        url: (origin, name) => `${origin}/${name}`,
        [Symbol.asyncDispose]: () => web[Symbol.asyncDispose](),
      }
    },
  },
  'Ceph, by S3': {
    isInstalled: Radosgw.isInstalled,
    async open(files) {
      const gateway = await Radosgw.start()
      const client = gateway.client()
      for (const [Key, Body] of Object.entries(files)) {
        await client.send(new PutObjectCommand({ Bucket: 'bucket', Key, Body }))
      }
      client.destroy()
      return {
        port: portOf(gateway.endpoint),
        clouds: (origin) => environment({ ...gateway.variables, AWS_ENDPOINT_URL: origin }),
        url: (_origin, name) => `s3://bucket/${name}`,
        [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
      }
    },
  },
  Azurite: {
    isInstalled: Azurite.isInstalled,
    async open(files) {
      const azurite = await Azurite.start()
      const { connection } = azurite
      const service = BlobServiceClient.fromConnectionString(connection)
      const container = service.getContainerClient('bucket')
      await container.create()
      for (const [name, bytes] of Object.entries(files)) {
        await container.getBlockBlobClient(name).upload(Buffer.from(bytes), bytes.length)
      }
      const endpoint = /BlobEndpoint=(http:\/\/[^/;]*)/.exec(connection)?.[1] ?? ''
      const at = (origin: string): string =>
        connection
          .replace(endpoint, origin)
          .replace('Protocol=http;', `Protocol=${new URL(origin).protocol.slice(0, -1)};`)
      return {
        port: portOf(endpoint),
        clouds: (origin) => environment({ AZURE_STORAGE_CONNECTION_STRING: at(origin) }),
        url: (_origin, name) => `as://host/bucket/${name}`,
        [Symbol.asyncDispose]: () => azurite[Symbol.asyncDispose](),
      }
    },
  },
  'what answers like Google Cloud Storage': {
    isInstalled: true,
    async open(files) {
      const server = await GcsServer.start()
      for (const [name, bytes] of Object.entries(files)) server.put(name, bytes)
      return {
        port: portOf(server.url),
        clouds: (origin) => environment({ STORAGE_EMULATOR_HOST: origin }),
        url: (_origin, name) => `gs://bucket/${name}`,
        [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
      }
    },
  },
}

/** Another server of ours. */
export const ownSource: FarSourceKind = {
  isInstalled: true,
  async open(files) {
    const server = await TestPachd.start()
    await server.pfs.createRepo({ repo: { name: 'there' } })
    await server.pfs.startCommit({ parent: commitOf('there', ''), branch: 'master' })
    for (const [name, bytes] of Object.entries(files)) {
      await putFile(server, fileOf('there', 'master', name), [bytes])
    }
    return {
      port: server.port,
      clouds: () => environment({}),
      url: (origin, name) => `pfs://${new URL(origin).host}/there/master/${name}`,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
}

/** A server of 1.3 (1.3.18) or of 1.4 (1.3.19, which is what it says), as it was recorded: with its own files. */
export function recordedSource(version: '1.3.18' | '1.3.19'): FarSourceKind {
  return {
    isInstalled: true,
    async open() {
      const server = await ReplayedServer.start(version)
      return {
        port: portOf(`http://${server.address}`),
        clouds: () => environment({}),
        url: (origin, name) =>
          `pfs://${new URL(origin).host}/legacy/master${name === '' ? '' : `/${name}`}`,
        [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
      }
    },
  }
}
