// Nested suites for node's own test runner: the source of node-nested.xml.
const { describe, it } = require("node:test");
const assert = require("node:assert");

describe("shop", () => {
  it("opens", () => {});

  describe("basket", () => {
    it("starts empty", () => assert.deepStrictEqual([], []));
    it("counts articles", () => assert.strictEqual(["tea", "cake"].length, 3));

    describe("discounts", () => {
      it("take a tenth off", () => assert.strictEqual(0.9 * 10, 9));
      it("stack", { skip: "not decided yet" }, () => {});
    });
  });
});
