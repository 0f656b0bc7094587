import type { Duration } from '@bufbuild/protobuf/wkt'
import {
  InputSchema,
  type Input,
  type ParallelismSpec,
  type ResourceSpec,
  type Transform,
  TransformSchema,
} from '../../gen/pps_pb.ts'
import { specText } from './json.ts'
import { goDurationText } from './times.ts'

// Parts of a pipeline spec as inspect-job, inspect-pipeline and list-pipeline show them.

/** In one line: `images:/*`, `(a:/ ⨯ b:/*)`, `(a:/ ∪ b:/)`, `(a:/(*) ⋈ b:/(*))`, `tick:@daily`. */
export function inputShorthand(input: Input | undefined): string {
  if (input === undefined) return 'none'
  const { atom, cross, union, join, group, cron } = input
  if (atom !== undefined) return `${atom.repo}:${atom.glob}`
  if (cross.length > 0) return `(${cross.map(inputShorthand).join(' ⨯ ')})`
  if (union.length > 0) return `(${union.map(inputShorthand).join(' ∪ ')})`
  if (join.length > 0) return `(${join.map(inputShorthand).join(' ⋈ ')})`
  if (group.length > 0) return `group(${group.map(inputShorthand).join(', ')})`
  return cron === undefined ? 'none' : `${cron.name}:${cron.spec}`
}

/** As the text form of protobuf prints it. */
export function parallelismText(spec: ParallelismSpec | undefined): string {
  if (spec === undefined) return '<nil>'
  const constant = spec.constant === 0n ? '' : `constant:${spec.constant} `
  const coefficient = spec.coefficient === 0 ? '' : `coefficient:${spec.coefficient} `
  return constant + coefficient
}

export function resourceLines(spec: ResourceSpec | undefined): string {
  const cpu = spec === undefined ? 0 : Number(spec.cpu.toPrecision(7))
  return `ResourceSpec:\n\tCPU: ${cpu}\n\tMemory: ${spec?.memory ?? ''} \n`
}

interface Limits {
  readonly datumTimeout?: Duration | undefined
  readonly jobTimeout?: Duration | undefined
  readonly datumTries: bigint
}

/** Those that are set, a line each. */
export function limitLines({ datumTimeout, jobTimeout, datumTries }: Limits): string {
  return [
    datumTimeout === undefined ? '' : `Datum Timeout: ${goDurationText(datumTimeout)}\n`,
    jobTimeout === undefined ? '' : `Job Timeout: ${goDurationText(jobTimeout)}\n`,
    datumTries === 0n ? '' : `Datum Tries: ${datumTries}\n`,
  ].join('')
}

export function inputText(input: Input | undefined): string {
  return specText(InputSchema, input)
}

/** With `<` and `>` as they are, for shell code is full of them. */
export function transformText(transform: Transform | undefined): string {
  const text = specText(TransformSchema, transform)
  return text.replaceAll(String.raw`\u003c`, '<').replaceAll(String.raw`\u003e`, '>')
}
