"""Owns: what is made from elsewhere is as it would be made now."""

import subprocess
import sys
import unittest

import yaml
from combinations import CHART, ROOT
from judge import faults


class Made(unittest.TestCase):
    def test_nothing_that_is_made_is_out_of_date(self) -> None:
        said = subprocess.run([sys.executable, ROOT / "deploy/helm/make.py", "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(said.returncode, 0, said.stderr)

    def test_plain_manifests_stand_by_themselves(self) -> None:
        for folder in sorted((ROOT / "deploy/kubernetes").iterdir()):
            if not folder.is_dir():
                continue
            with self.subTest(folder.name):
                listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
                there = sorted(path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml")
                self.assertEqual(listed, there)
                documents = [yaml.safe_load((folder / name).read_text()) for name in listed]
                self.assertEqual(faults(documents), [])
                # No trace of Helm, no namespace (Kustomize gives one), and no secret.
                for document in documents:
                    self.assertNotIn("namespace", document["metadata"])
                    self.assertNotEqual(document["kind"], "Secret")
                    self.assertNotIn("helm", str(document["metadata"]).lower())

    def test_the_chart_needs_nothing_outside_of_it(self) -> None:
        for path in CHART.rglob("*"):
            self.assertFalse(path.is_symlink(), path)


if __name__ == "__main__":
    unittest.main()
