import { existsSync } from 'node:fs'

import { FailedPreconditionError } from '../../base/errors.ts'
import { fine, notice, problem, type Symptom } from '../../base/symptoms.ts'
import { isUnimplemented } from '../../client/rpc-error.ts'
import { type DiagnoseResponse, SymptomGrade } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { adminClient } from '../own-clients.ts'
import { readRelease } from '../release.ts'

const timeoutMs = 15_000
const clockSkewMsMax = 5000
const millisPerSecond = 1000
const nanosPerMilli = 1_000_000
const microsPerMilli = 1000
const nodeMajorMin = 24
const marks = { fine: 'ok', notice: '!', problem: 'X' } as const

/** Prints what is looked at here and on the server's machine; fails when there is a problem. */
export async function doctor(context: CommandContext): Promise<void> {
  const symptoms = [...here(), ...(await server(context))]
  for (const symptom of symptoms) await context.out.line(textOf(symptom))
  const problemCount = symptoms.filter(({ grade }) => grade === 'problem').length
  if (problemCount === 0) return
  const what = problemCount === 1 ? 'problem' : 'problems'
  throw new FailedPreconditionError(`${problemCount} ${what}; what to do is said after the arrows`)
}

function textOf({ subject, grade, text, advice }: Symptom): string {
  const line = `${marks[grade].padEnd(3)} ${subject}: ${text}`
  return advice === '' ? line : `${line}\n    -> ${advice}`
}

/** What pachctl itself needs. */
function here(): readonly Symptom[] {
  const major = Number(process.versions.node.split('.')[0])
  const node = `${readRelease()}, Node ${process.version}`
  const symptoms: Symptom[] = [
    major >= nodeMajorMin
      ? fine('pachctl', node)
      : problem('pachctl', node, `install Node ${nodeMajorMin} or newer`),
  ]
  if (process.platform !== 'linux') {
    symptoms.push(notice('mount', 'pachctl mount needs Linux', 'use get-file -r'))
  } else if (existsSync('/dev/fuse')) symptoms.push(fine('mount', '/dev/fuse is there'))
  else {
    const advice = 'modprobe fuse; in a container, pass the device: --device /dev/fuse'
    symptoms.push(notice('mount', 'there is no /dev/fuse, which pachctl mount needs', advice))
  }
  return symptoms
}

async function server(context: CommandContext): Promise<readonly Symptom[]> {
  const { address, clock } = context
  const askedMs = clock.monotonicMs()
  try {
    const response = await adminClient(context).diagnose({}, { timeoutMs })
    const tookMs = clock.monotonicMs() - askedMs
    return [
      fine('connection', `the server at ${address} answers`),
      clockSymptom(response, clock.now() / microsPerMilli, tookMs),
      ...response.symptoms.map(symptomOf),
    ]
  } catch (error) {
    if (isUnimplemented(error)) {
      const text = `the server at ${address} answers, and knows no doctor`
      return [notice('connection', text, 'it is another release: compare with pachctl version')]
    }
    const text = error instanceof Error ? error.message : String(error)
    const advice = `start pachd --root DIR there, or say where it is: ADDRESS=host:port`
    return [problem('connection', `no server at ${address}: ${text}`, advice)]
  }
}

function clockSymptom({ now }: DiagnoseResponse, hereMs: number, tookMs: number): Symptom {
  const thereMs = Number(now?.seconds ?? 0n) * millisPerSecond + (now?.nanos ?? 0) / nanosPerMilli
  // Its answer may be as old as the call took.
  const skewMs = Math.max(0, Math.abs(hereMs - thereMs) - tookMs)
  if (skewMs <= clockSkewMsMax) return fine('clock', 'both machines tell the same time')
  return notice(
    'clock',
    `the server's clock and this one are ${Math.round(skewMs / millisPerSecond)} s apart`,
    "have both set by NTP: times of commits, cron inputs and logs are the server's",
  )
}

function symptomOf({
  subject,
  grade,
  text,
  advice,
}: DiagnoseResponse['symptoms'][number]): Symptom {
  switch (grade) {
    case SymptomGrade.FINE:
      return fine(subject, text)
    case SymptomGrade.PROBLEM:
      return problem(subject, text, advice)
    default:
      return notice(subject, text, advice)
  }
}
