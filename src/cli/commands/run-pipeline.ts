import { create } from '@bufbuild/protobuf'
import { InvalidArgumentError } from '../../base/errors.ts'
import {
  type CreateJobRequest,
  CreateJobRequestSchema,
  JobInputSchema,
  PipelineSchema,
} from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { parseQualifiedCommit } from '../parsing/commit-arguments.ts'
import { jsonDocuments } from '../parsing/json-documents.ts'
import { messageFromJson } from '../parsing/json-messages.ts'
import { inSource, type SourceText } from '../parsing/spec-documents.ts'
import { ppsClient } from '../pps-client.ts'
import { readSource } from '../spec-source.ts'

export async function runPipeline(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [name = '', ...commits] = args
  const source = flags.text('file')
  const request =
    source === ''
      ? create(CreateJobRequestSchema)
      : await parseRequest(await readSource(context, source))
  request.pipeline = create(PipelineSchema, { name })
  for (const text of commits) {
    const { repo, commit: id } = parseQualifiedCommit(text)
    request.inputs.push(create(JobInputSchema, { commit: { repo: { name: repo }, id } }))
  }
  const { id } = await ppsClient(context).createJob(request)
  await out.line(id)
}

async function parseRequest(source: SourceText): Promise<CreateJobRequest> {
  return await inSource(source, () => {
    const [document, ...others] = jsonDocuments(source.text)
    if (document === undefined || others.length > 0) {
      throw new InvalidArgumentError('one JSON form of CreateJobRequest is needed there')
    }
    return messageFromJson(CreateJobRequestSchema, document.value, 'a job')
  })
}
