"""What teachers say about answers: stars, reasons and corrections, masked before they may leave the school."""
