import type { MessageInitShape } from '@bufbuild/protobuf'
import { type SecretInfoSchema, Secrets } from '../gen/pachyderm_pb.ts'
import type { Processing } from '../pipelines/processing.ts'
import type { SecretRecord } from '../pipelines/secrets.ts'
import { service, type Route } from './grpc/service.ts'
import { timestampOf } from './pfs/messages.ts'

/** pachyderm.Secrets. No answer and no error has a value. */
export function secretsRoutes({ secrets }: Pick<Processing, 'secrets'>): readonly Route[] {
  return service(Secrets, {
    async createSecret({ name, entries }) {
      return infoMessage(await secrets.create(name, entries))
    },

    async updateSecret({ name, entries }) {
      return infoMessage(await secrets.update(name, entries))
    },

    async inspectSecret({ name }) {
      const { secret, pipelines } = await secrets.inspect(name)
      return { ...infoMessage(secret), pipelines: [...pipelines] }
    },

    async *listSecrets() {
      for await (const page of secrets.pages()) yield { secrets: page.map(infoMessage) }
    },

    async deleteSecret({ name }) {
      await secrets.delete(name)
      return {}
    },
  })
}

function infoMessage(secret: SecretRecord): MessageInitShape<typeof SecretInfoSchema> {
  const { name, entryNames, createdAt, updatedAt } = secret
  return {
    name,
    entries: [...entryNames],
    createdAt: timestampOf(createdAt),
    updatedAt: timestampOf(updatedAt),
  }
}
