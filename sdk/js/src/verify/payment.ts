import type { Hex } from './bytes.js';
import type { Bundle } from './bundle.js';
import type { Policy, TaskIntent } from './records.js';
import { refuse } from './refused.js';
import type { ProvenPayment } from './report.js';
import type { Signed } from './story.js';
import type { PaidWork } from './verdicts.js';

export class PaymentCheck {
  readonly works = new Map<Hex, PaidWork>();
  readonly used = new Set<Hex>();
  constructor(
    readonly bundle: Bundle,
    readonly intent: Signed<TaskIntent>,
    readonly policy: Policy,
  ) {}
  *steps(_payment: Hex): Generator<() => void> {
    refuse('payment-unread');
  }
  report(): ProvenPayment {
    return refuse('payment-unread');
  }
}
