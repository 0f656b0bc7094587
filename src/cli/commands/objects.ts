import type { BytesValue } from '@bufbuild/protobuf/wkt'
import { createClient } from '../../client/client.ts'
import { ObjectAPI } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'

export async function getObject(context: CommandContext): Promise<void> {
  const [hash = ''] = context.args
  await print(createClient(ObjectAPI, context.transport).getObject({ hash }), context)
}

export async function getTag(context: CommandContext): Promise<void> {
  const [name = ''] = context.args
  await print(createClient(ObjectAPI, context.transport).getTag({ name }), context)
}

async function print(pieces: AsyncIterable<BytesValue>, { out }: CommandContext): Promise<void> {
  for await (const { value } of pieces) await out.write(value)
}
