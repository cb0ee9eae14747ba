// The microphone as PCM16 at 24 kHz, in blocks of 20 ms. Runs on the audio thread.

const RATE = 24000;
const BLOCK = RATE / 50;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE; // input samples for one of ours
    this.at = 0; // where the next one is, in the block of input that comes
    this.last = 0;
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
  }

  process([[input]]) {
    if (!input) return true;
    // Each sample is the mean over the input that it stands for: enough of a low pass for speech.
    const before = (i) => (i < 0 ? this.last : input[i]);
    for (; this.at < input.length; this.at += this.step) {
      const whole = Math.floor(this.at);
      const part = this.at - whole;
      const value = before(whole - 1) * (1 - part) + before(whole) * part;
      const smooth = this.step > 1 ? (value + before(whole)) / 2 : value;
      this.push(Math.max(-1, Math.min(1, smooth)));
    }
    this.at -= input.length;
    this.last = input[input.length - 1];
    return true;
  }

  push(sample) {
    this.block[this.filled++] = sample * 32767;
    if (this.filled < BLOCK) return;
    this.port.postMessage(this.block.buffer, [this.block.buffer]);
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
  }
}

registerProcessor('capture', Capture);
